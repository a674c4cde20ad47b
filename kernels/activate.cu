#include "common.cuh"

#ifdef ACTIVATE_FORWARD
// activate_forward   y = activation(x), element by element.
// x, y [COUNT].  grid ceil(COUNT / (256 * VECTOR)), block 256.  y '='.  Deterministic.
extern "C" __global__ void activate_forward(const X_T* __restrict__ x, Y_T* __restrict__ y, int count_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float v[VECTOR];
    load<X_T, VECTOR>(x + i, v);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] = activate<ACTIVATION>(v[k]);
    store<Y_T, VECTOR>(y + i, v);
}
#endif
