// Matrix products of few rows: embeddings and the encoder's last layer. The weights are read once and decide the time, so
// the arithmetic is exact float32 in every precision. M = ROWS, I = IN, O = OUT; w [O,I] as PyTorch stores it.
#include "common.cuh"

constexpr int warps = 4;

#ifdef LINEAR_FORWARD
// linear_forward   y = activation(x w^T + bias).
// x [M,I] of X_T; w [O,I]; bias [O] if BIAS; y [M,O]; partial [gridDim.z,M,O] and counters [gridDim.x * gridDim.y] if SPLIT.
// grid (ceil(O / 16), ceil(M / TILE_ROWS), parts of I), block 128 (small tiles: 8 on a multiprocessor; left alone, the compiler
// spills to fit 12). A warp computes TILE_ROWS x 4 outputs, its lanes reading VECTOR neighbours each along I. y '=', counters are
// zero before and after.  Deterministic: the last block of a tile adds the parts in their order.
// GROUP: w and bias are those of several layers of the same x, one after the other; output o goes to addresses[o], whose rows
// lie strides[o] elements apart.
constexpr int tile_out = 4;
constexpr int values = TILE_ROWS * tile_out;

// Sums of Count (a power of two up to 32) numbers over a warp: lane l gets number l / (32 / Count). Each step halves the
// numbers that a lane keeps: fewer shuffles than a sum at a time. Recursive, since loops over halves stay loops, over memory.
template <int Count, int Distance = 16>
__device__ __forceinline__ float sum_each(const float (&v)[Count]) {
    if constexpr (Distance == 0) {
        return v[0];
    } else if constexpr (Count == 1) {
        float sum[1] = {v[0] + __shfl_xor_sync(full_warp, v[0], Distance)};
        return sum_each<1, Distance / 2>(sum);
    } else {
        bool upper = (threadIdx.x & Distance) != 0;
        float kept[Count / 2];
#pragma unroll
        for (int i = 0; i < Count / 2; i++) {
            float low = v[i], high = v[i + Count / 2];
            kept[i] = (upper ? high : low) + __shfl_xor_sync(full_warp, upper ? low : high, Distance);
        }
        return sum_each<Count / 2, Distance / 2>(kept);
    }
}

__device__ __forceinline__ float finish(float sum, const float* bias, int o) {
    if (BIAS) sum += bias[o];
    return activate<ACTIVATION>(sum);
}

extern "C" __global__ void __launch_bounds__(32 * warps, TILE_ROWS * VECTOR <= 4 ? 8 : 1)
    linear_forward(const X_T* __restrict__ x, const float* __restrict__ w, const float* __restrict__ bias,
#if GROUP
                   const u64* __restrict__ addresses, const int* __restrict__ strides,
#else
                   float* __restrict__ y,
#endif
                   float* __restrict__ partial, u32* __restrict__ counters, int rows_arg, int in_arg, int out_arg) {
#if GROUP
    auto place = [&](int m, int o) { return (float*)addresses[o] + (size_t)m * strides[o]; };
#else
    auto place = [&](int m, int o) { return y + (size_t)m * OUT + o; };
#endif
    int lane = threadIdx.x % 32;
    int row = blockIdx.y * TILE_ROWS, out = (blockIdx.x * warps + threadIdx.x / 32) * tile_out;
    // Rows and outputs beyond the end repeat the last and are not stored.
    const X_T* from[TILE_ROWS];
    const float* weights[tile_out];
#pragma unroll
    for (int r = 0; r < TILE_ROWS; r++) from[r] = x + (size_t)min(row + r, ROWS - 1) * IN;
#pragma unroll
    for (int o = 0; o < tile_out; o++) weights[o] = w + (size_t)min(out + o, OUT - 1) * IN;

    float sums[values] = {};
#pragma unroll 2
    for (int i = (blockIdx.z * 32 + lane) * VECTOR; i < IN; i += gridDim.z * 32 * VECTOR) {
        float b[tile_out][VECTOR];
#pragma unroll
        for (int o = 0; o < tile_out; o++) load<float, VECTOR>(weights[o] + i, b[o]);
#pragma unroll
        for (int r = 0; r < TILE_ROWS; r++) {
            float a[VECTOR];
            load<X_T, VECTOR>(from[r] + i, a);
#pragma unroll
            for (int o = 0; o < tile_out; o++)
#pragma unroll
                for (int k = 0; k < VECTOR; k++) sums[r * tile_out + o] = fmaf(a[k], b[o][k], sums[r * tile_out + o]);
        }
    }
    float sum = sum_each<values>(sums);
    int mine = lane / (32 / values);
    int m = row + mine / tile_out, o = out + mine % tile_out;
    bool stores = lane % (32 / values) == 0 && m < ROWS && o < OUT;
    if (!SPLIT) {
        if (stores) *place(m, o) = finish(sum, bias, o);
        return;
    }
    if (stores) partial[((size_t)blockIdx.z * ROWS + m) * OUT + o] = sum;
    __shared__ int flag;
    if (!is_last_block(counters + blockIdx.y * gridDim.x + blockIdx.x, gridDim.z, &flag)) return;
    for (int i = threadIdx.x; i < TILE_ROWS * tile_out * warps; i += 32 * warps) {
        m = row + i / (tile_out * warps), o = blockIdx.x * (tile_out * warps) + i % (tile_out * warps);
        if (m >= ROWS || o >= OUT) continue;
        sum = 0.f;
#pragma unroll 8
        for (int part = 0; part < (int)gridDim.z; part++) sum += partial[((size_t)part * ROWS + m) * OUT + o];
        *place(m, o) = finish(sum, bias, o);
    }
}
#endif

#ifdef LINEAR_GRAD_INPUT
// linear_grad_input   dx = dy w.
// dy [M,O]; w [O,I]; dx [M,I].  grid (ceil(I / (32 * VECTOR)), ceil(M / TILE_ROWS)), block 128. The warps share the rows of
// w among them and lanes read VECTOR neighbours each.  dx '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(32 * warps)
    linear_grad_input(const float* __restrict__ dy, const float* __restrict__ w, float* __restrict__ dx, int rows_arg, int in_arg,
    int out_arg) {
    __shared__ float shared[warps][TILE_ROWS][VECTOR][32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int row = blockIdx.y * TILE_ROWS, i = (blockIdx.x * 32 + lane) * VECTOR;
    float sums[TILE_ROWS][VECTOR] = {};
    if (i < IN) {
#pragma unroll 4
        for (int o = warp; o < OUT; o += warps) {
            float b[VECTOR];
            load<float, VECTOR>(w + (size_t)o * IN + i, b);
#pragma unroll
            for (int r = 0; r < TILE_ROWS; r++) {
                float a = dy[(size_t)min(row + r, ROWS - 1) * OUT + o];
#pragma unroll
                for (int k = 0; k < VECTOR; k++) sums[r][k] = fmaf(a, b[k], sums[r][k]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < TILE_ROWS; r++)
#pragma unroll
        for (int k = 0; k < VECTOR; k++) shared[warp][r][k][lane] = sums[r][k];
    __syncthreads();
    if (i >= IN) return;
    for (int r = warp; r < TILE_ROWS && row + r < ROWS; r += warps) {
        float v[VECTOR];
#pragma unroll
        for (int k = 0; k < VECTOR; k++) {
            v[k] = shared[0][r][k][lane];
#pragma unroll
            for (int p = 1; p < warps; p++) v[k] += shared[p][r][k][lane];
        }
        store<float, VECTOR>(dx + (size_t)(row + r) * IN + i, v);
    }
}
#endif

#ifdef LINEAR_GRAD_WEIGHT
// linear_grad_weight   dw = dy^T x.
// dy [M,O]; x [M,I] of X_T; dw [O,I].  grid (ceil(I / (128 * VECTOR)), ceil(O / 8)), block 128.  dw '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(32 * warps)
    linear_grad_weight(const float* __restrict__ dy, const X_T* __restrict__ x, float* __restrict__ dw, int rows_arg, int in_arg,
    int out_arg) {
    constexpr int tile_out = 8;
    int out = blockIdx.y * tile_out, i = (blockIdx.x * 32 * warps + threadIdx.x) * VECTOR;
    if (i >= IN) return;
    float sums[tile_out][VECTOR] = {};
#pragma unroll 4
    for (int m = 0; m < ROWS; m++) {
        float b[VECTOR];
        load<X_T, VECTOR>(x + (size_t)m * IN + i, b);
#pragma unroll
        for (int o = 0; o < tile_out; o++) {
            float a = dy[(size_t)m * OUT + min(out + o, OUT - 1)];
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sums[o][k] = fmaf(a, b[k], sums[o][k]);
        }
    }
#pragma unroll
    for (int o = 0; o < tile_out; o++)
        if (out + o < OUT) store<float, VECTOR>(dw + (size_t)(out + o) * IN + i, sums[o]);
}
#endif
