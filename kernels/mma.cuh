// Tensor cores and asynchronous copies: thin wrappers over the PTX of compute capability 8.0, which later ones run too.
//
// One step of the tensor core multiplies a 16-row A by an 8-column B over 32 bytes of depth: 16 elements of 16 bits or 8 of
// tf32. In bytes the fragments of all three formats are alike, so that code which counts in 16-byte units serves them all.
// With g = lane / 4, t = lane % 4 and the depth halved into units 0 and 1 of 16 bytes, a lane holds
//   A  a[0] row g, unit 0;  a[1] row g + 8, unit 0;  a[2] row g, unit 1;  a[3] row g + 8, unit 1;  word t of the unit
//   B  b[0] column g, unit 0;  b[1] column g, unit 1;  word t of the unit
//   C  c[0] row g, column 2t;  c[1] row g, column 2t + 1;  c[2] row g + 8, column 2t;  c[3] row g + 8, column 2t + 1
// A word is one tf32 or two neighbours in depth, the first in the low half. An 8 x 8 matrix of ldmatrix (8 rows of 16
// bytes) gives each lane word t of row g: exactly one register of A or B, when rows of A and columns of B lie with depth
// contiguous. The transposed form is for 16-bit operands whose depth is the slow dimension.
#pragma once

#include "common.cuh"

// Marks operands rounded to tf32; stored as float.
struct tf32 {
    u32 bits;
};

// ---- products ---------------------------------------------------------------------------------------------------

// C += A * B, accumulated in float32.
template <typename Type>
__device__ __forceinline__ void mma(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]);

template <>
__device__ __forceinline__ void mma<bf16>(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ __forceinline__ void mma<f16>(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ __forceinline__ void mma<tf32>(float (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// To the nearest tf32, ties away from zero. The tensor core ignores the low 13 bits: without this it would truncate.
__device__ __forceinline__ u32 round_to_tf32(float x) {
    u32 y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}

// ---- shared memory ----------------------------------------------------------------------------------------------

// Address of shared memory as ldmatrix and cp.async take it.
__device__ __forceinline__ u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Count (1, 2, 4) matrices of 8 rows of 16 bytes. Lanes 8 i .. 8 i + 7 give the addresses of the rows of matrix i, a
// multiple of 16 each; with Count < 4 the addresses of the other lanes are not read, but must be valid.
// "memory": it must not move over the barrier before which other threads write the rows.
template <int Count>
__device__ __forceinline__ void load_matrices(u32 (&d)[Count], u32 address) {
    static_assert(Count == 1 || Count == 2 || Count == 4, "ldmatrix loads 1, 2 or 4");
    if constexpr (Count == 4)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3]) : "r"(address) : "memory");
    else if constexpr (Count == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(d[0]), "=r"(d[1]) : "r"(address) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(d[0]) : "r"(address) : "memory");
}

// The same with each matrix of 8 x 8 16-bit elements transposed: a lane gets elements (2t, g) and (2t + 1, g).
template <int Count>
__device__ __forceinline__ void load_matrices_transposed(u32 (&d)[Count], u32 address) {
    static_assert(Count == 1 || Count == 2 || Count == 4, "ldmatrix loads 1, 2 or 4");
    if constexpr (Count == 4)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3]) : "r"(address) : "memory");
    else if constexpr (Count == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(d[0]), "=r"(d[1]) : "r"(address) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(d[0]) : "r"(address) : "memory");
}

// ---- asynchronous copies ----------------------------------------------------------------------------------------

// Copies Bytes (4, 8, 16; both addresses multiples of it) from global to shared memory without a register. Where `valid`
// is false it writes zeros and reads nothing, but the address must still be a global one: pass the tensor's own.
// 16 bytes bypass the first-level cache, fewer cannot.
template <int Bytes>
__device__ __forceinline__ void copy_async(u32 shared, const void* global, bool valid = true) {
    static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
    u64 address = (u64)__cvta_generic_to_global(global);
    int bytes = valid ? Bytes : 0;
    if constexpr (Bytes == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(shared), "l"(address), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" :: "r"(shared), "l"(address), "n"(Bytes), "r"(bytes) : "memory");
}

// Closes the group of this thread's copies so far.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most Pending of this thread's groups are under way. Other threads' copies are visible after a barrier.
template <int Pending>
__device__ __forceinline__ void copy_async_wait() { asm volatile("cp.async.wait_group %0;" :: "n"(Pending) : "memory"); }
