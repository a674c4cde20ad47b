#include "common.cuh"

#ifdef ACTIVATE_FORWARD
// activate_forward   y = activation(x), element by element.
// x, y [COUNT].  grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be x.  Deterministic.
extern "C" __global__ void activate_forward(const X_T* x, Y_T* y, int count_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float v[VECTOR];
    load<X_T, VECTOR>(x + i, v);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] = activate<ACTIVATION>(v[k]);
    store<Y_T, VECTOR>(y + i, v);
}
#endif

#ifdef ACTIVATE_GRAD
// activate_grad   dx = dy * activation'(x), element by element.
// x, dy, dx [COUNT].  grid ceil(COUNT / (256 * VECTOR)), block 256.  dx '=', may be dy.  Deterministic.
extern "C" __global__ void activate_grad(const X_T* __restrict__ x, const DY_T* dy, DX_T* dx, int count_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float v[VECTOR], d[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    load<DY_T, VECTOR>(dy + i, d);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) d[k] *= activate_grad<ACTIVATION>(v[k]);
    store<DX_T, VECTOR>(dx + i, d);
}
#endif
