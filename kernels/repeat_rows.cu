#include "common.cuh"

#ifdef REPEAT_ROWS_FORWARD
// repeat_rows_forward   y[r] = x[n] + e[r] for each row r of group n, which are starts[n]..starts[n + 1] - 1.
// x [COUNT] = [N, SIZE] with SIZE = PIXELS * C; starts [N + 1]; e [R, C], read where EMBEDDING; y [R, SIZE].
// VECTOR divides C.  grid ceil(COUNT / (256 * VECTOR)), block 256: a thread reads its vector once and writes it to each row.
// y '='.  Deterministic.
extern "C" __global__ void repeat_rows_forward(const X_T* __restrict__ x, const int* __restrict__ starts, const E_T* __restrict__ e,
    Y_T* __restrict__ y, int count_arg, int size_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int n = i / SIZE, at = i - n * SIZE;
    float v[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    int end = starts[n + 1];
    for (int r = starts[n]; r < end; r++) {
        float sum[VECTOR];
#if EMBEDDING
        load<E_T, VECTOR>(e + (size_t)r * C + at % C, sum);
#pragma unroll
        for (int k = 0; k < VECTOR; k++) sum[k] += v[k];
#else
#pragma unroll
        for (int k = 0; k < VECTOR; k++) sum[k] = v[k];
#endif
        store_copy<Y_T, VECTOR>(y + (size_t)r * SIZE + at, sum);
    }
}
#endif
