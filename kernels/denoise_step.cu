#include "denoise.cuh"

#ifdef DENOISE_STEP_FORWARD
// denoise_step_forward   x0 = clip(cx x + cp prediction);  y = c0 x0 + ct x + sigma noise, coefficients from table[step].
// prediction, x, y, noise [COUNT], noise read where NOISE; table [ROWS, 5]; step [1].
// grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be x.  Deterministic.
extern "C" __global__ void denoise_step_forward(const P_T* __restrict__ prediction, const X_T* x, const float* __restrict__ table,
    const int* __restrict__ step, const N_T* __restrict__ noise, Y_T* y, int rows_arg, int count_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    DenoiseUpdate update(table, ROWS, step);
    float p[VECTOR], v[VECTOR], z[VECTOR] = {};
    load<P_T, VECTOR>(prediction + i, p);
    load<X_T, VECTOR>(x + i, v);
#if NOISE
    load<N_T, VECTOR>(noise + i, z);
#endif
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] = update.next<CLIP>(v[k], p[k], z[k]);
    store<Y_T, VECTOR>(y + i, v);
}
#endif
