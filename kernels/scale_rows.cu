#include "common.cuh"

#ifdef SCALE_ROWS_FORWARD
// scale_rows_forward   y[i] = scale[i / SIZE] * x[i].
// x, y [COUNT] = [N, SIZE]; scale [N].  VECTOR divides SIZE.  grid ceil(COUNT / (256 * VECTOR)), block 256.
// y '=', may be x.  Deterministic.
extern "C" __global__ void scale_rows_forward(const X_T* x, const float* __restrict__ scale, Y_T* y, int count_arg, int size_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float v[VECTOR], factor = scale[i / SIZE];
    load<X_T, VECTOR>(x + i, v);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] *= factor;
    store<Y_T, VECTOR>(y + i, v);
}
#endif
