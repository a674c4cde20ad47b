#include "common.cuh"

#ifdef BATCH_NORM_FORWARD
// batch_norm_forward   y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with running statistics.
// x, y [COUNT] = [N, H, W, C]; gamma, beta, mean, variance [C].  grid ceil(COUNT / (256 * VECTOR)), block 256.
// y '=', may be x.  Deterministic.
extern "C" __global__ void batch_norm_forward(const X_T* x, const float* __restrict__ gamma, const float* __restrict__ beta,
    const float* __restrict__ mean, const float* __restrict__ variance, Y_T* y, float epsilon, int count_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int c = i % C;
    float v[VECTOR], g[VECTOR], b[VECTOR], m[VECTOR], s[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    load<float, VECTOR>(gamma + c, g);
    load<float, VECTOR>(beta + c, b);
    load<float, VECTOR>(mean + c, m);
    load<float, VECTOR>(variance + c, s);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] = fmaf(v[k] - m[k], g[k] * rsqrtf(s[k] + epsilon), b[k]);
    store<Y_T, VECTOR>(y + i, v);
}
#endif
