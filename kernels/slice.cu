#include "common.cuh"

#ifdef SLICE_FORWARD
// slice_forward   y[p, c] = x[p, START + c].
// x [P, C], y [COUNT] = [P, SIZE].  VECTOR divides C, START and SIZE.  grid ceil(COUNT / (256 * VECTOR)), block 256.
// y '='.  Deterministic.
extern "C" __global__ void slice_forward(const X_T* __restrict__ x, Y_T* __restrict__ y, int count_arg, int c_arg, int start_arg,
    int size_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / SIZE, c = i - pixel * SIZE;
    float v[VECTOR];
    load<X_T, VECTOR>(x + (size_t)pixel * C + START + c, v);
    store<Y_T, VECTOR>(y + i, v);
}
#endif
