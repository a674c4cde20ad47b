// Products of a warp's part of a convolution's tile: rows are output pixels, columns output channels, depth input channels.
// Both operands lie in shared memory with depth contiguous, in units of 16 bytes; a row or column starts a multiple of 16
// bytes, an odd number of units, after its neighbour, so that eight neighbours lie in different banks.
//
// Two classes, one interface. With `lane` the lane of this thread:
//   row(lane), row_unit(lane)        where the thread's first address of the rows points; sub-tile i lies row_step * i further
//   column(lane), column_unit(lane)  the same for the columns
//   depth                            units that a step takes
//   step(rows, columns)              adds the products of a step; rows(i), columns(j) give the addresses of sub-tiles
//   store(tile, pitch, lane)         writes the sums as float32, row by row
#pragma once

#include "mma.cuh"

// What a compute type's element takes in shared memory, and how many make a unit.
template <typename Operand>
constexpr int unit_elements = 16 / (int)sizeof(Operand);

__device__ __forceinline__ void load_unit(float (&y)[4], u32 address) {
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(y[0]), "=f"(y[1]), "=f"(y[2]), "=f"(y[3]) : "r"(address) : "memory");
}

__device__ __forceinline__ void load_pair(float (&y)[2], u32 address) {
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(y[0]), "=f"(y[1]) : "r"(address) : "memory");
}

__device__ __forceinline__ u32 load_word(u32 address) {
    u32 y;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(y) : "r"(address) : "memory");
    return y;
}

// Where `valid`: a predicate and not a branch, so that a warp stays together whatever follows.
__device__ __forceinline__ void store_unit(u32 address, const u32 (&x)[4], bool valid) {
    asm volatile(
        "{\n"
        ".reg .pred valid;\n"
        "setp.ne.b32 valid, %5, 0;\n"
        "@valid st.shared.v4.b32 [%0], {%1, %2, %3, %4};\n"
        "}" :: "r"(address), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"((int)valid) : "memory");
}

// On tensor cores.
template <typename Operand, int Rows, int Columns>
struct WarpTile {
    static_assert(Rows % 16 == 0 && Columns % 16 == 0, "sub-tiles are 16 x 16");
    static constexpr int row_step = 16, column_step = 16, depth = 2;
    static constexpr bool unroll = true;
    float sums[Rows / 16][Columns / 8][4] = {};

    static __device__ __forceinline__ int row(int lane) { return lane & 15; }
    static __device__ __forceinline__ int row_unit(int lane) { return lane >> 4; }
    static __device__ __forceinline__ int column(int lane) { return (lane & 7) + (lane >> 4) * 8; }
    static __device__ __forceinline__ int column_unit(int lane) { return (lane >> 3) & 1; }

    template <typename RowAddress, typename ColumnAddress>
    __device__ __forceinline__ void step(RowAddress rows, ColumnAddress columns) {
        u32 b[Columns / 8][2];
#pragma unroll
        for (int j = 0; j < Columns / 16; j++) {
            u32 pair[4];
            load_matrices(pair, columns(j));
            b[2 * j][0] = pair[0], b[2 * j][1] = pair[1], b[2 * j + 1][0] = pair[2], b[2 * j + 1][1] = pair[3];
        }
#pragma unroll
        for (int i = 0; i < Rows / 16; i++) {
            u32 a[4];
            load_matrices(a, rows(i));
#pragma unroll
            for (int j = 0; j < Columns / 8; j++) mma<Operand>(sums[i][j], a, b[j]);
        }
    }

    // A pitch of 8 modulo 32 keeps the pairs of half a warp in different banks.
    __device__ __forceinline__ void store(float* tile, int pitch, int lane) const {
        float* p = tile + (lane >> 2) * pitch + (lane & 3) * 2;
#pragma unroll
        for (int i = 0; i < Rows / 16; i++)
#pragma unroll
            for (int j = 0; j < Columns / 8; j++) {
                *(float2*)(p + i * 16 * pitch + j * 8) = make_float2(sums[i][j][0], sums[i][j][1]);
                *(float2*)(p + (i * 16 + 8) * pitch + j * 8) = make_float2(sums[i][j][2], sums[i][j][3]);
            }
    }
};

// In exact float32: a thread sums every eighth row and every fourth column.
template <int Rows, int Columns>
struct WarpTile<float, Rows, Columns> {
    static_assert(Rows % 8 == 0 && Columns % 4 == 0, "lanes are 8 x 4");
    static constexpr int row_step = 8, column_step = 4, depth = 1;
    // A step is hundreds of instructions already: the loop must stay in the instruction cache.
    static constexpr bool unroll = false;
    float sums[Rows / 8][Columns / 4] = {};

    static __device__ __forceinline__ int row(int lane) { return lane & 7; }
    static __device__ __forceinline__ int row_unit(int) { return 0; }
    static __device__ __forceinline__ int column(int lane) { return lane >> 3; }
    static __device__ __forceinline__ int column_unit(int) { return 0; }

    template <typename RowAddress, typename ColumnAddress>
    __device__ __forceinline__ void step(RowAddress rows, ColumnAddress columns) {
        float a[Rows / 8][4];
#pragma unroll
        for (int i = 0; i < Rows / 8; i++) load_unit(a[i], rows(i));
#pragma unroll
        for (int j = 0; j < Columns / 4; j++) {
            float b[4];
            load_unit(b, columns(j));
#pragma unroll
            for (int i = 0; i < Rows / 8; i++)
#pragma unroll
                for (int k = 0; k < 4; k++) sums[i][j] = fmaf(a[i][k], b[k], sums[i][j]);
        }
    }

    __device__ __forceinline__ void store(float* tile, int pitch, int lane) const {
        float* p = tile + (lane & 7) * pitch + (lane >> 3);
#pragma unroll
        for (int i = 0; i < Rows / 8; i++)
#pragma unroll
            for (int j = 0; j < Columns / 4; j++) p[i * 8 * pitch + j * 4] = sums[i][j];
    }
};
