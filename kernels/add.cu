#include "common.cuh"

#ifdef ADD_FORWARD
// add_forward   y = a + b, element by element.
// a, b, y [COUNT].  grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be a.  Deterministic.
extern "C" __global__ void add_forward(const A_T* a, const B_T* __restrict__ b, Y_T* y, int count_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float v[VECTOR], w[VECTOR];
    load<A_T, VECTOR>(a + i, v);
    load<B_T, VECTOR>(b + i, w);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] += w[k];
    store<Y_T, VECTOR>(y + i, v);
}
#endif
