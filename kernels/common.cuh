// Types and small functions that all kernels share. No toolkit header: NVRTC alone compiles everything here.
//
// Conventions
// - A file holds one operator's kernels, forward and backward, each between #ifdef KERNEL_NAME and #endif; a compilation
//   selects one. All other macros come from the launch (host/RawDiffusion.Cuda/Launches), which states them beside the
//   arguments: element types X_T, Y_T, .. (float, bf16, f16, int), tile sizes, flags 0/1, and extents. An extent NAME is a
//   macro that is either a number or the int parameter name_arg. Capitals are macros: nothing else is written so.
// - Activations are NHWC. Sums, statistics and anything that decides a result's accuracy are float32.
// - Pointers of absent optional inputs are null and their flag is 0: a kernel never tests a pointer.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct bf16 {
    u16 bits;
};

struct f16 {
    u16 bits;
};

constexpr u32 full_warp = 0xffffffffu;

// ---- conversions ------------------------------------------------------------------------------------------------

__device__ __forceinline__ float to_float(float x) { return x; }

__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((u32)x.bits << 16); }

__device__ __forceinline__ float to_float(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

template <typename Type>
__device__ __forceinline__ Type from_float(float x);

template <>
__device__ __forceinline__ float from_float<float>(float x) { return x; }

template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

template <>
__device__ __forceinline__ f16 from_float<f16>(float x) {
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Two neighbours in one register, the first in the low half.
template <typename Type>
__device__ __forceinline__ u32 pack2(float low, float high);

template <>
__device__ __forceinline__ u32 pack2<bf16>(float low, float high) {
    u32 y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

template <>
__device__ __forceinline__ u32 pack2<f16>(float low, float high) {
    u32 y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

template <typename Type>
__device__ __forceinline__ float2 unpack2(u32 x) {
    Type low, high;
    low.bits = (u16)x;
    high.bits = (u16)(x >> 16);
    return make_float2(to_float(low), to_float(high));
}

// ---- elements in vectors ----------------------------------------------------------------------------------------

// Count neighbours on a Count * sizeof(T) boundary as floats. 16-byte accesses are the widest.
template <typename Type, int Count>
__device__ __forceinline__ void load(const Type* p, float (&y)[Count]) {
    constexpr int bytes = Count * (int)sizeof(Type);
    if constexpr (bytes > 16) {
        constexpr int half_count = Count / 2;
        float a[half_count], b[half_count];
        load<Type, half_count>(p, a);
        load<Type, half_count>(p + half_count, b);
#pragma unroll
        for (int i = 0; i < half_count; i++) y[i] = a[i], y[half_count + i] = b[i];
    } else {
        alignas(16) Type x[Count];
        if constexpr (bytes == 16) *(uint4*)x = *(const uint4*)p;
        else if constexpr (bytes == 8) *(uint2*)x = *(const uint2*)p;
        else if constexpr (bytes == 4) *(u32*)x = *(const u32*)p;
        else {
#pragma unroll
            for (int i = 0; i < Count; i++) x[i] = p[i];
        }
#pragma unroll
        for (int i = 0; i < Count; i++) y[i] = to_float(x[i]);
    }
}

template <typename Type, int Count>
__device__ __forceinline__ void store(Type* p, const float (&y)[Count]) {
    constexpr int bytes = Count * (int)sizeof(Type);
    if constexpr (bytes > 16) {
        constexpr int half_count = Count / 2;
        float a[half_count], b[half_count];
#pragma unroll
        for (int i = 0; i < half_count; i++) a[i] = y[i], b[i] = y[half_count + i];
        store<Type, half_count>(p, a);
        store<Type, half_count>(p + half_count, b);
    } else {
        alignas(16) Type x[Count];
#pragma unroll
        for (int i = 0; i < Count; i++) x[i] = from_float<Type>(y[i]);
        if constexpr (bytes == 16) *(uint4*)p = *(const uint4*)x;
        else if constexpr (bytes == 8) *(uint2*)p = *(const uint2*)x;
        else if constexpr (bytes == 4) *(u32*)p = *(const u32*)x;
        else {
#pragma unroll
            for (int i = 0; i < Count; i++) p[i] = x[i];
        }
    }
}

// As store, to global memory, for a vector that is stored several times: of several plain stores of the same registers the
// compiler makes single words.
template <typename Type, int Count>
__device__ __forceinline__ void store_copy(Type* p, const float (&y)[Count]) {
    constexpr int bytes = Count * (int)sizeof(Type);
    if constexpr (bytes > 16) {
        constexpr int half_count = Count / 2;
        float a[half_count], b[half_count];
#pragma unroll
        for (int i = 0; i < half_count; i++) a[i] = y[i], b[i] = y[half_count + i];
        store_copy<Type, half_count>(p, a);
        store_copy<Type, half_count>(p + half_count, b);
    } else if constexpr (bytes >= 8) {
        alignas(16) Type x[Count];
#pragma unroll
        for (int i = 0; i < Count; i++) x[i] = from_float<Type>(y[i]);
        const u32* w = (const u32*)x;
        u64 address = __cvta_generic_to_global(p);
        if constexpr (bytes == 16)
            asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(address), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]) : "memory");
        else asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(address), "r"(w[0]), "r"(w[1]) : "memory");
    } else store<Type, Count>(p, y);
}

// ---- activations ------------------------------------------------------------------------------------------------

// Numbers of the host's enum Activation.
#define ACTIVATION_NONE 0
#define ACTIVATION_SILU 1
#define ACTIVATION_RELU 2

// x * sigmoid(x). ex2.approx and rcp.approx are good to 2 ulp each, and rounding x log2(e) adds |x| 6e-8: below 7e-7 of the
// result while |x| < 6; beyond, the result is nearly 0 or nearly x. With .ftz each is one instruction, without it three or
// four that care for denormals: those of the exponential vanish in 1 + .., and where the reciprocal's would begin the
// result is below 1e-36.
__device__ __forceinline__ float silu(float x) {
    float e, r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(x * -1.4426950408889634f));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(1.f + e));
    return x * r;
}

template <int Kind>
__device__ __forceinline__ float activate(float x) {
    if constexpr (Kind == ACTIVATION_SILU) return silu(x);
    // Not fmaxf: NaN stays NaN.
    else if constexpr (Kind == ACTIVATION_RELU) return x < 0.f ? 0.f : x;
    else {
        static_assert(Kind == ACTIVATION_NONE, "no function for this activation");
        return x;
    }
}

// The derivative of activate at x. That of ReLU at NaN is 1, so that NaN is not hidden.
template <int Kind>
__device__ __forceinline__ float activate_grad(float x) {
    if constexpr (Kind == ACTIVATION_SILU) {
        float sigmoid = __fdividef(1.f, 1.f + __expf(-x));
        return sigmoid * fmaf(x, 1.f - sigmoid, 1.f);
    } else if constexpr (Kind == ACTIVATION_RELU) return x <= 0.f ? 0.f : 1.f;
    else {
        static_assert(Kind == ACTIVATION_NONE, "no derivative for this activation");
        return 1.f;
    }
}

// ---- reductions -------------------------------------------------------------------------------------------------

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) x += __shfl_xor_sync(full_warp, x, d);
    return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) x = fmaxf(x, __shfl_xor_sync(full_warp, x, d));
    return x;
}

// Sum over a one-dimensional block of whole warps, the same in all its threads; `shared` holds a float for each warp. All
// threads call it, and `shared` may be written again after the next barrier.
__device__ __forceinline__ float block_sum(float x, float* shared) {
    x = warp_sum(x);
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = x;
    __syncthreads();
    float sum = 0.f;
    for (int w = 0; w < (int)blockDim.x >> 5; w++) sum += shared[w];
    return sum;
}

// Whether this block is the last of `blocks` to arrive at a counter, which is left at zero. What all blocks wrote to global
// memory before is then visible to every thread of the last one. All threads call it; `flag` is one shared int.
__device__ __forceinline__ bool is_last_block(u32* counter, u32 blocks, int* flag) {
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0 && threadIdx.z == 0) *flag = atomicInc(counter, blocks - 1) == blocks - 1;
    __syncthreads();
    bool last = *flag != 0;
    if (last) __threadfence();
    return last;
}
