// Attention's products in exact float32 arithmetic, see attention_tiles.cuh. A warp owns 16 rows; its lanes form 4 groups
// of rows by 8 of columns, and a lane computes 4 rows by STREAM / 8 columns. Every shared load is 16 bytes: 4 distinct
// addresses of owned rows or 8 of streamed ones, neither with a bank conflict.
#pragma once

typedef float element;

constexpr bool rounds_operands = false;
constexpr int head_pad = (HEAD + 31) / 32 * 32;
constexpr int pitch = head_pad + 4;

constexpr int rows = 4;
constexpr int row_lanes = 8;
constexpr int sum_group = 4;

__device__ __forceinline__ float to_operand(float x) { return x; }

template <int Columns>
struct accumulators {
    static constexpr int columns = Columns;
    float v[rows][Columns];

    __device__ __forceinline__ float& at(int r, int c) { return v[r][c]; }
    __device__ __forceinline__ float at(int r, int c) const { return v[r][c]; }
    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int r = 0; r < rows; r++)
#pragma unroll
            for (int c = 0; c < columns; c++) v[r][c] = 0.f;
    }
};

typedef accumulators<STREAM / 8> scores;
typedef accumulators<head_pad / 8> sums;

__device__ __forceinline__ int warp_row_of(int r) { return r * 4 + threadIdx.x % 32 / 8; }
__device__ __forceinline__ int column_of(int c) { return c * 8 + threadIdx.x % 8; }
__device__ __forceinline__ int sum_column_of(int c) { return c / 4 * 32 + threadIdx.x % 8 * 4 + c % 4; }

// This warp's owned rows, which stay in shared memory.
struct owned {
    const element* first;

    __device__ __forceinline__ owned(const element* block) : first(block + (threadIdx.x / 32 * 16 + warp_row_of(0)) * pitch) {}
};

// What passes the scores of one product on to the next: 16 rows for each warp. Rows are 8 banks (mod 32) apart, where
// the 8 columns that a group of lanes writes do not meet those of another group.
struct exchange {
    static constexpr int stride = (STREAM + 31) / 32 * 32 + 8;
    static constexpr int elements = 16 * WARPS * stride;
    element* first;

    __device__ __forceinline__ exchange(element* memory) : first(memory + threadIdx.x / 32 * 16 * stride) {}
};

__device__ __forceinline__ float4 load4(const element* p) { return *(const float4*)p; }

// s = owned rows * tile^T.
__device__ __forceinline__ void multiply(scores& s, const owned& own, const element* tile) {
    const element* columns = tile + column_of(0) * pitch;
    s.clear();
#pragma unroll 2
    for (int d = 0; d < head_pad; d += 4) {
        float4 a[rows];
#pragma unroll
        for (int r = 0; r < rows; r++) a[r] = load4(own.first + r * 4 * pitch + d);
#pragma unroll
        for (int c = 0; c < scores::columns; c++) {
            float4 b = load4(columns + c * 8 * pitch + d);
#pragma unroll
            for (int r = 0; r < rows; r++)
                s.v[r][c] = fmaf(a[r].w, b.w, fmaf(a[r].z, b.z, fmaf(a[r].y, b.y, fmaf(a[r].x, b.x, s.v[r][c]))));
        }
    }
}

// o += p * tile.
__device__ __forceinline__ void accumulate(sums& o, const scores& p, const element* tile, const exchange& x) {
    element* mine = x.first + warp_row_of(0) * exchange::stride;
#pragma unroll
    for (int r = 0; r < rows; r++)
#pragma unroll
        for (int c = 0; c < scores::columns; c++) mine[r * 4 * exchange::stride + column_of(c)] = p.v[r][c];
    __syncwarp();
    const element* columns = tile + sum_column_of(0);
#pragma unroll 2
    for (int k = 0; k < STREAM; k += 4) {
        float weights[rows][4];
#pragma unroll
        for (int r = 0; r < rows; r++) load<element, 4>(mine + r * 4 * exchange::stride + k, weights[r]);
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int c = 0; c < sums::columns; c += 4) {
                float4 b = load4(columns + (k + i) * pitch + c * 8);
#pragma unroll
                for (int r = 0; r < rows; r++) {
                    o.v[r][c] = fmaf(weights[r][i], b.x, o.v[r][c]);
                    o.v[r][c + 1] = fmaf(weights[r][i], b.y, o.v[r][c + 1]);
                    o.v[r][c + 2] = fmaf(weights[r][i], b.z, o.v[r][c + 2]);
                    o.v[r][c + 3] = fmaf(weights[r][i], b.w, o.v[r][c + 3]);
                }
            }
        }
    }
    __syncwarp();
}
