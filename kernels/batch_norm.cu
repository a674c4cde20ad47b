#include "norm_statistics.cuh"

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

#ifdef BATCH_NORM_STATISTICS
// batch_norm_statistics   y = (mean, biased variance) of each channel.
// x [PIXELS, C]; y [2, C]; counts [TILES] pixels of each tile, TILE_PIXELS in all but the last; partials [TILES, 2, C] scratch;
// counter [1] zero, and zero again afterwards.  grid TILES, block 256: a block takes a tile, the last one combines them, a warp
// for each channel (4 blocks on a multiprocessor: left alone, the compiler spills to fit 5).  Shared memory 2048 * VECTOR + 4 bytes.
// Each element is read once.  y '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256, 4) batch_norm_statistics(
    const X_T* __restrict__ x, const float* __restrict__ counts, float* partials,
    u32* counter, float* y, int tiles_arg, int tile_pixels_arg, int pixels_arg, int c_arg) {
    __shared__ __align__(16) float shared[2 * 256 * VECTOR];
    __shared__ int flag;
    int first = blockIdx.x * TILE_PIXELS, pixels = min(TILE_PIXELS, PIXELS - first);
    float* partial = partials + (size_t)blockIdx.x * 2 * C;
    reduce_tile<VECTOR, 2>(C, pixels, shared,
        [&](int c, int row, int rows, float (&moments)[2][VECTOR]) {
            int count = pixels_of_row(pixels, row, rows);
            pixel_moments<VECTOR>(x + (size_t)(first + row) * C + c, (size_t)rows * C, count, moments[0], moments[1]);
        },
        [&](int c, int rows, const float* row_moments, int stride) {
            Moments moments = merge_rows<VECTOR>(pixels, rows, row_moments, stride);
            partial[c] = moments.mean;
            partial[C + c] = moments.m2;
        });
    if (!is_last_block(counter, TILES, &flag)) return;
    ChannelStatistics all = {partials, counts, TILES, C};
    for (int c = threadIdx.x >> 5; c < C; c += 8) {
        float count = 0.f, sum = 0.f, unused = 0.f, m2 = 0.f;
        group_norm_gather<false>(all, c, 1, 0.f, count, sum);
        float mean = warp_sum(sum) / (float)PIXELS;
        group_norm_gather<true>(all, c, 1, mean, unused, m2);
        m2 = warp_sum(m2);
        if ((threadIdx.x & 31) == 0) y[c] = mean, y[C + c] = m2 / (float)PIXELS;
    }
}
#endif

#ifdef BATCH_NORM_RUNNING
// batch_norm_running   y = (1 - momentum) running + momentum * factor * statistic, element by element.
// running, statistic, y [C].  grid ceil(C / 256), block 256.  y '=', may be running.  Deterministic.
extern "C" __global__ void batch_norm_running(const float* running, const float* __restrict__ statistic, float* y, float momentum,
    float factor, int c_arg) {
    int c = blockIdx.x * 256 + threadIdx.x;
    if (c < C) y[c] = fmaf(momentum, factor * statistic[c], (1.f - momentum) * running[c]);
}
#endif

#ifdef BATCH_NORM_GRAD_AFFINE
// batch_norm_grad_affine   y = (dgamma, dbeta) = (sum of dy xhat, sum of dy) by channel, xhat = (x - mean) / sqrt(variance + epsilon).
// x, dy [PIXELS, C]; statistics [2, C]; y [2, C]; partials [TILES, 2, C] scratch; counter [1] zero, and zero again afterwards.
// grid TILES, block 256: a block takes TILE_PIXELS pixels, the last one adds up.  Shared memory 2048 * VECTOR + 4 bytes.
// Each element is read once.  y '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) batch_norm_grad_affine(const X_T* __restrict__ x, const float* __restrict__ statistics,
    const DY_T* __restrict__ dy, float* partials, u32* counter, float* y, float epsilon, int tiles_arg, int tile_pixels_arg,
    int pixels_arg, int c_arg) {
    __shared__ __align__(16) float shared[2 * 256 * VECTOR];
    __shared__ int flag;
    int first = blockIdx.x * TILE_PIXELS, pixels = min(TILE_PIXELS, PIXELS - first);
    float* partial = partials + (size_t)blockIdx.x * 2 * C;
    reduce_tile<VECTOR, 2>(C, pixels, shared,
        [&](int c, int row, int rows, float (&sum)[2][VECTOR]) {
            float mean[VECTOR], variance[VECTOR];
            load<float, VECTOR>(statistics + c, mean);
            load<float, VECTOR>(statistics + C + c, variance);
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sum[0][k] = 0.f, sum[1][k] = 0.f;
#pragma unroll 2
            for (int p = row; p < pixels; p += rows) {
                float v[VECTOR], d[VECTOR];
                load<X_T, VECTOR>(x + (size_t)(first + p) * C + c, v);
                load<DY_T, VECTOR>(dy + (size_t)(first + p) * C + c, d);
#pragma unroll
                for (int k = 0; k < VECTOR; k++) {
                    sum[0][k] = fmaf(d[k], v[k] - mean[k], sum[0][k]);
                    sum[1][k] += d[k];
                }
            }
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sum[0][k] *= rsqrtf(variance[k] + epsilon);
        },
        [&](int c, int rows, const float* sum, int stride) {
            partial[c] = sum_rows(rows, sum, stride);
            partial[C + c] = sum_rows(rows, sum + 256 * VECTOR, stride);
        });
    if (is_last_block(counter, TILES, &flag)) sum_tiles(partials, TILES, 2 * C, y);
}
#endif

#ifdef BATCH_NORM_GRAD_INPUT
// batch_norm_grad_input   dx = gamma rstd (dy - dbeta / PIXELS - xhat dgamma / PIXELS).
// x, dy, dx [COUNT] = [PIXELS, C]; gamma [C]; statistics [2, C]; affine (dgamma, dbeta) [2, C].
// grid ceil(COUNT / (256 * VECTOR)), block 256.  dx '=', may be dy.  Deterministic.
extern "C" __global__ void batch_norm_grad_input(
    const X_T* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ statistics,
    const DY_T* dy, const float* __restrict__ affine, DX_T* dx, float epsilon, float inverse_pixels, int count_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int c = i % C;
    float v[VECTOR], d[VECTOR], g[VECTOR], mean[VECTOR], variance[VECTOR], dgamma[VECTOR], dbeta[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    load<DY_T, VECTOR>(dy + i, d);
    load<float, VECTOR>(gamma + c, g);
    load<float, VECTOR>(statistics + c, mean);
    load<float, VECTOR>(statistics + C + c, variance);
    load<float, VECTOR>(affine + c, dgamma);
    load<float, VECTOR>(affine + C + c, dbeta);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) {
        float rstd = rsqrtf(variance[k] + epsilon);
        float xhat = (v[k] - mean[k]) * rstd;
        d[k] = g[k] * rstd * (d[k] - inverse_pixels * fmaf(xhat, dgamma[k], dbeta[k]));
    }
    store<DX_T, VECTOR>(dx + i, d);
}
#endif
