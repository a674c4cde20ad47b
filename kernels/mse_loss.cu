#include "common.cuh"

#ifdef MSE_LOSS_FORWARD
// mse_loss_forward   y = sum over i of weights[i / SIZE] * (prediction[i] - target[i])^2 / COUNT.
// prediction, target [COUNT] = [N, SIZE]; weights [N], read where WEIGHTS; y [1]; partials [gridDim.x] scratch; counter [1] zero, and
// zero again afterwards.  VECTOR divides SIZE.  grid as many blocks as are to share the work, block 256: vectors go round the grid,
// the last block adds up.  Shared memory 36 bytes.  y '='.  Deterministic: the order depends on the grid alone.
extern "C" __global__ void __launch_bounds__(256) mse_loss_forward(const P_T* __restrict__ prediction, const T_T* __restrict__ target,
    const float* __restrict__ weights, float* partials, u32* counter, float* y, float inverse_count, int count_arg, int size_arg) {
    __shared__ float shared[8];
    __shared__ int flag;
    float sum = 0.f;
    int step = gridDim.x * 256 * VECTOR;
    for (int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR; i < COUNT; i += step) {
        float p[VECTOR], t[VECTOR], part = 0.f;
        load<P_T, VECTOR>(prediction + i, p);
        load<T_T, VECTOR>(target + i, t);
#pragma unroll
        for (int k = 0; k < VECTOR; k++) {
            float d = p[k] - t[k];
            part = fmaf(d, d, part);
        }
#if WEIGHTS
        part *= weights[i / SIZE];
#endif
        sum += part;
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
    if (!is_last_block(counter, gridDim.x, &flag)) return;
    sum = 0.f;
    for (int i = threadIdx.x; i < gridDim.x; i += 256) sum += partials[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *y = sum * inverse_count;
}
#endif

#ifdef MSE_LOSS_GRAD_PREDICTION
// mse_loss_grad_prediction   dprediction[i] = dloss * weights[i / SIZE] * 2 (prediction[i] - target[i]) / COUNT.
// prediction, target, y [COUNT] = [N, SIZE]; weights [N], read where WEIGHTS; dloss [1].  VECTOR divides SIZE.
// grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be prediction.  Deterministic.
extern "C" __global__ void mse_loss_grad_prediction(
    const P_T* prediction, const T_T* __restrict__ target, const float* __restrict__ weights,
    const float* __restrict__ dloss, Y_T* y, float twice_inverse_count, int count_arg, int size_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float p[VECTOR], t[VECTOR], factor = *dloss * twice_inverse_count;
#if WEIGHTS
    factor *= weights[i / SIZE];
#endif
    load<P_T, VECTOR>(prediction + i, p);
    load<T_T, VECTOR>(target + i, t);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) p[k] = factor * (p[k] - t[k]);
    store<Y_T, VECTOR>(y + i, p);
}
#endif
