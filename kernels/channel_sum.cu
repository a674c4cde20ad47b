#include "common.cuh"

#ifdef CHANNEL_SUM
// channel_sum   y[c] = sum of x[r, c] over r: the gradient of a bias.
// x [R,C] of X_T, R = ROWS, C = CHANNELS; y [C]; partial [gridDim.y,C]; counters [gridDim.x].
// grid (ceil(C / (ACROSS * VECTOR)), parts of the rows), block 256 = ACROSS threads along the channels, VECTOR each, by
// 256 / ACROSS rows.  y '=', counters are zero before and after.  Deterministic: the last block adds the parts in order.
extern "C" __global__ void __launch_bounds__(256)
    channel_sum(const X_T* __restrict__ x, float* __restrict__ y, float* __restrict__ partial, u32* __restrict__ counters,
                int rows_arg, int channels_arg) {
    constexpr int down = 256 / ACROSS, columns = ACROSS * VECTOR;
    __shared__ float shared[down][columns];
    __shared__ int flag;
    int first = blockIdx.x * columns, column = threadIdx.x % ACROSS * VECTOR;
    float sums[VECTOR] = {};
    if (first + column < CHANNELS) {
#pragma unroll 4
        for (int r = blockIdx.y * down + threadIdx.x / ACROSS; r < ROWS; r += gridDim.y * down) {
            float v[VECTOR];
            load<X_T, VECTOR>(x + (size_t)r * CHANNELS + first + column, v);
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sums[k] += v[k];
        }
    }
#pragma unroll
    for (int k = 0; k < VECTOR; k++) shared[threadIdx.x / ACROSS][column + k] = sums[k];
    __syncthreads();
    // At most 256 columns: a thread for each.
    int c = first + threadIdx.x;
    bool mine = threadIdx.x < columns && c < CHANNELS;
    float sum = 0.f;
    if (mine) {
#pragma unroll 8
        for (int d = 0; d < down; d++) sum += shared[d][threadIdx.x];
        partial[(size_t)blockIdx.y * CHANNELS + c] = sum;
    }
    if (!is_last_block(counters + blockIdx.x, gridDim.y, &flag) || !mine) return;
    sum = 0.f;
#pragma unroll 8
    for (int part = 0; part < (int)gridDim.y; part++) sum += partial[(size_t)part * CHANNELS + c];
    y[c] = sum;
}
#endif
