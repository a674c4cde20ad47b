#include "common.cuh"

#ifdef CONCAT_FORWARD
// concat_forward   y[p] = (a[p], b[p]) along the last dimension.
// a [P, CA], b [P, CB], y [COUNT] = [P, CA + CB].  VECTOR divides CA and CB.  grid ceil(COUNT / (256 * VECTOR)), block 256.
// y '='.  Deterministic.
extern "C" __global__ void concat_forward(const A_T* __restrict__ a, const B_T* __restrict__ b, Y_T* __restrict__ y,
    int count_arg, int ca_arg, int cb_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / (CA + CB), c = i - pixel * (CA + CB);
    float v[VECTOR];
    if (c < CA) load<A_T, VECTOR>(a + (size_t)pixel * CA + c, v);
    else load<B_T, VECTOR>(b + (size_t)pixel * CB + (c - CA), v);
    store<Y_T, VECTOR>(y + i, v);
}
#endif
