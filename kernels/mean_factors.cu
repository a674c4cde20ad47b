#include "common.cuh"

#ifdef MEAN_FACTORS_FORWARD
// mean_factors_forward   y[n] = sum over the rows r of trajectory n of weights[r] * activation(scale[r, c] * x[r] + shift[r, c]).
// Rows of n are starts[n]..starts[n + 1] - 1.  x [R, SIZE] with SIZE = PIXELS * C; starts [N + 1]; weights [R];
// affine [R, 2, C], read where AFFINE; y [COUNT] = [N, SIZE].  VECTOR divides C.
// grid ceil(COUNT / (256 * VECTOR)), block 256.  y '='.  Deterministic.
extern "C" __global__ void mean_factors_forward(const X_T* __restrict__ x, const float* __restrict__ affine, const int* __restrict__ starts,
    const float* __restrict__ weights, Y_T* __restrict__ y, int count_arg, int size_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int n = i / SIZE, at = i - n * SIZE;
    float sum[VECTOR] = {};
    int end = starts[n + 1];
    // Four rows in flight.
#pragma unroll 4
    for (int r = starts[n]; r < end; r++) {
        float v[VECTOR];
        load<X_T, VECTOR>(x + (size_t)r * SIZE + at, v);
#if AFFINE
        float scale[VECTOR], shift[VECTOR];
        load<float, VECTOR>(affine + (size_t)r * 2 * C + at % C, scale);
        load<float, VECTOR>(affine + (size_t)r * 2 * C + C + at % C, shift);
#pragma unroll
        for (int k = 0; k < VECTOR; k++) v[k] = fmaf(scale[k], v[k], shift[k]);
#endif
        float weight = weights[r];
#pragma unroll
        for (int k = 0; k < VECTOR; k++) sum[k] = fmaf(weight, activate<ACTIVATION>(v[k]), sum[k]);
    }
    store<Y_T, VECTOR>(y + i, sum);
}
#endif
