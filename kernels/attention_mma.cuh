// Attention's products on tensor cores, see attention_tiles.cuh. A warp owns 16 * ROW_TILES rows. Fragments are described
// in mma.cuh; a step is 32 bytes of the head: 16 channels of 16 bits or 8 of tf32.
#pragma once

constexpr bool is_tf32 = sizeof(OPERAND_T) == 4;

// How operands lie in shared memory.
template <bool Tf32>
struct element_of { typedef OPERAND_T type; };
template <>
struct element_of<true> { typedef float type; };
typedef element_of<is_tf32>::type element;

constexpr bool rounds_operands = is_tf32;
constexpr int head_pad = (HEAD + 15) / 16 * 16;
constexpr int pitch = head_pad + 16 / (int)sizeof(element);
constexpr int steps = head_pad * (int)sizeof(element) / 32;

constexpr int rows = 2 * ROW_TILES;
constexpr int row_lanes = 4;
constexpr int sum_group = 2;

__device__ __forceinline__ float to_operand(float x) {
    if constexpr (is_tf32) return __uint_as_float(round_to_tf32(x));
    else return x;
}

// A lane's part of 16-row tiles of accumulators, row r and column c of those it holds.
template <int Tiles>
struct accumulators {
    static constexpr int columns = 2 * Tiles;
    float v[ROW_TILES][Tiles][4];

    __device__ __forceinline__ float& at(int r, int c) { return v[r / 2][c / 2][r % 2 * 2 + c % 2]; }
    __device__ __forceinline__ float at(int r, int c) const { return v[r / 2][c / 2][r % 2 * 2 + c % 2]; }
    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int r = 0; r < rows; r++)
#pragma unroll
            for (int c = 0; c < columns; c++) at(r, c) = 0.f;
    }
};

typedef accumulators<STREAM / 8> scores;
typedef accumulators<head_pad / 8> sums;

__device__ __forceinline__ int warp_row_of(int r) { return r / 2 * 16 + r % 2 * 8 + threadIdx.x % 32 / 4; }
__device__ __forceinline__ int column_of(int c) { return c / 2 * 8 + threadIdx.x % 4 * 2 + c % 2; }
__device__ __forceinline__ int sum_column_of(int c) { return column_of(c); }

// This warp's owned rows as operands, read from shared memory when they are needed.
struct owned {
    u32 address;

    __device__ __forceinline__ owned(const element* block) {
        int lane = threadIdx.x % 32, row = threadIdx.x / 32 * (16 * ROW_TILES) + lane % 16;
        address = shared_address(block + row * pitch) + lane / 16 * 16;
    }

    __device__ __forceinline__ void fragment(u32 (&a)[4], int tile, int step) const {
        load_matrices<4>(a, address + tile * (16 * pitch * (int)sizeof(element)) + step * 32);
    }
};

// The same, kept in registers: their shared memory is free afterwards.
struct held {
    u32 a[ROW_TILES][steps][4];

    __device__ __forceinline__ held(const element* block) {
        owned source(block);
#pragma unroll
        for (int t = 0; t < ROW_TILES; t++)
#pragma unroll
            for (int k = 0; k < steps; k++) source.fragment(a[t][k], t, k);
    }

    __device__ __forceinline__ void fragment(u32 (&f)[4], int tile, int step) const {
#pragma unroll
        for (int i = 0; i < 4; i++) f[i] = a[tile][step][i];
    }
};

// Nothing but registers holds what is passed from one product to the next.
struct exchange {
    static constexpr int elements = 0;
    __device__ __forceinline__ exchange(element*) {}
};

// s = owned rows * tile^T.
template <typename Owned>
__device__ __forceinline__ void multiply(scores& s, const Owned& own, const element* tile) {
    int lane = threadIdx.x % 32;
    u32 address = shared_address(tile + (lane / 16 * 8 + lane % 8) * pitch) + lane / 8 % 2 * 16;
    s.clear();
#pragma unroll
    for (int k = 0; k < steps; k++) {
        u32 a[ROW_TILES][4];
#pragma unroll
        for (int t = 0; t < ROW_TILES; t++) own.fragment(a[t], t, k);
#pragma unroll
        for (int n = 0; n < STREAM / 16; n++) {
            u32 b[4];
            load_matrices<4>(b, address + n * (16 * pitch * (int)sizeof(element)) + k * 32);
#pragma unroll
            for (int t = 0; t < ROW_TILES; t++) {
                mma<OPERAND_T>(s.v[t][2 * n], a[t], {b[0], b[1]});
                mma<OPERAND_T>(s.v[t][2 * n + 1], a[t], {b[2], b[3]});
            }
        }
    }
}

// o += p * tile: the accumulators of one product are the A operand of the next.
template <typename Type = OPERAND_T>
__device__ __forceinline__ void accumulate(sums& o, const scores& p, const element* tile, const exchange&) {
    int lane = threadIdx.x % 32;
    if constexpr (is_tf32) {
        // A holds columns t and t + 4 of depth, accumulators 2t and 2t + 1. The order of the depth is free as long as B
        // has the same: depth t is key 2t, depth t + 4 is key 2t + 1.
        const element* first = tile + lane % 4 * 2 * pitch + lane / 4;
#pragma unroll
        for (int k = 0; k < STREAM / 8; k++) {
            u32 a[ROW_TILES][4];
#pragma unroll
            for (int t = 0; t < ROW_TILES; t++) {
                const float(&c)[4] = p.v[t][k];
                a[t][0] = round_to_tf32(c[0]), a[t][1] = round_to_tf32(c[2]), a[t][2] = round_to_tf32(c[1]), a[t][3] = round_to_tf32(c[3]);
            }
#pragma unroll
            for (int n = 0; n < head_pad / 8; n++) {
                const element* b = first + k * 8 * pitch + n * 8;
                u32 even = __float_as_uint(to_float(b[0])), odd = __float_as_uint(to_float(b[pitch]));
#pragma unroll
                for (int t = 0; t < ROW_TILES; t++) mma<Type>(o.v[t][n], a[t], {even, odd});
            }
        }
    } else {
        u32 address = shared_address(tile + lane % 16 * pitch + lane / 16 * 8);
#pragma unroll
        for (int k = 0; k < STREAM / 16; k++) {
            u32 a[ROW_TILES][4];
#pragma unroll
            for (int t = 0; t < ROW_TILES; t++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const float(&c)[4] = p.v[t][2 * k + i / 2];
                    a[t][i] = pack2<Type>(c[i % 2 * 2], c[i % 2 * 2 + 1]);
                }
            }
#pragma unroll
            for (int n = 0; n < head_pad / 16; n++) {
                u32 b[4];
                load_matrices_transposed<4>(b, address + (k * 16 * pitch + n * 16) * (int)sizeof(element));
#pragma unroll
                for (int t = 0; t < ROW_TILES; t++) {
                    mma<Type>(o.v[t][2 * n], a[t], {b[0], b[1]});
                    mma<Type>(o.v[t][2 * n + 1], a[t], {b[2], b[3]});
                }
            }
        }
    }
}
