#include "multi_tensor.cuh"

#ifdef GRADIENT_NORM
// gradient_norm   norm = sqrt(sum of squares of the elements of all pieces), divided by loss_scale[0] where LOSS_SCALE.
// gradient [P]; pieces [gridDim.x]; loss_scale [3] of loss_scale_update; partials [gridDim.x] scratch; counter [1] zero, and zero again
// afterwards; norm [1].  grid pieces, block 256; the last block adds up.  Shared memory 36 bytes.  norm '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) gradient_norm(const float* __restrict__ gradient, const Piece* __restrict__ pieces,
    const float* __restrict__ loss_scale, float* partials, u32* counter, float* norm) {
    __shared__ float shared[8];
    __shared__ int flag;
    Piece piece = pieces[blockIdx.x];
    const float* x = gradient + piece.first;
    float sum = 0.f;
#pragma unroll
    for (int j = 0; j < piece_elements / 1024; j++) {
        int i = j * 1024 + threadIdx.x * 4;
        if (i + 4 <= piece.count) {
            float4 v = *(const float4*)(x + i);
            sum += fmaf(v.x, v.x, v.y * v.y) + fmaf(v.z, v.z, v.w * v.w);
        } else {
            for (int k = i; k < piece.count; k++) sum = fmaf(x[k], x[k], sum);
        }
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
    if (!is_last_block(counter, gridDim.x, &flag)) return;
    sum = 0.f;
    for (int i = threadIdx.x; i < gridDim.x; i += 256) sum += partials[i];
    sum = block_sum(sum, shared);
#if LOSS_SCALE
    if (threadIdx.x == 0) *norm = sqrtf(sum) / loss_scale[0];
#else
    if (threadIdx.x == 0) *norm = sqrtf(sum);
#endif
}
#endif
