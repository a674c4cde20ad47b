#include "common.cuh"

#ifdef SUM_ROWS_FORWARD
// sum_rows_forward   y[n] = sum over the rows r of group n of weights[r] * activation(scale[r, c] * x[r] + shift[r, c]).
// Rows of n are starts[n]..starts[n + 1] - 1.  x [R, SIZE] with SIZE = PIXELS * C; starts [N + 1]; weights [R];
// affine [R, 2, C], read where AFFINE; y [COUNT] = [N, SIZE].  VECTOR divides C.
// grid ceil(COUNT / (256 * VECTOR)), block 256.  y '='.  Deterministic.
extern "C" __global__ void sum_rows_forward(const X_T* __restrict__ x, const float* __restrict__ affine, const int* __restrict__ starts,
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

#ifdef SUM_ROWS_GRAD_INPUT
// sum_rows_grad_input   dx[r] = weights[r] * dy[n] for each row r of group n, which are starts[n]..starts[n + 1] - 1.
// dy [COUNT] = [N, SIZE]; starts [N + 1]; weights [R]; dx [R, SIZE].  VECTOR divides SIZE.
// grid ceil(COUNT / (256 * VECTOR)), block 256: a thread reads its vector once.  dx '='.  Deterministic.
extern "C" __global__ void sum_rows_grad_input(
    const DY_T* __restrict__ dy, const int* __restrict__ starts, const float* __restrict__ weights,
    DX_T* __restrict__ dx, int count_arg, int size_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int n = i / SIZE, at = i - n * SIZE;
    float v[VECTOR];
    load<DY_T, VECTOR>(dy + i, v);
    int end = starts[n + 1];
    for (int r = starts[n]; r < end; r++) {
        float weight = weights[r], part[VECTOR];
#pragma unroll
        for (int k = 0; k < VECTOR; k++) part[k] = weight * v[k];
        store_copy<DX_T, VECTOR>(dx + (size_t)r * SIZE + at, part);
    }
}
#endif
