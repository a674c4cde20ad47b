#include "common.cuh"

#ifdef ADD_EMBEDDING_FORWARD
// add_embedding_forward   y[n, p, c] = x[n, p, c] + e[n, c].
// x, y [COUNT] = [N, PIXELS, C], e [N, C].  grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be x.  Deterministic.
extern "C" __global__ void add_embedding_forward(const X_T* x, const E_T* __restrict__ e, Y_T* y, int count_arg, int pixels_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / C;
    float v[VECTOR], w[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    load<E_T, VECTOR>(e + (size_t)(pixel / PIXELS) * C + (i - pixel * C), w);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] += w[k];
    store<Y_T, VECTOR>(y + i, v);
}
#endif
