#include "norm_statistics.cuh"

#ifdef GROUP_NORM_AFFINE
// group_norm_affine   scale and shift of group norm such that the normalised value is scale * x + shift: see
// group_norm_finish. x [N, PIXELS, C1], x2 [N, PIXELS, C2] as if concatenated; gamma, beta [C]; film [N, 2C], read where FILM;
// counts [TILES] pixels of each tile, TILE_PIXELS in all but the last; affine [N, 2, C] '='.
// partials [N, TILES, 2, C] scratch; counters [N] zero, and zero again afterwards.  VECTOR divides C1 and C2.
// grid N * TILES, block 256 (4 on a multiprocessor: left alone, the compiler spills to fit 8): a block takes a tile of pixels, the
// last block of an image finishes it.  Shared memory 2048 * VECTOR + 4 bytes.  Each element is read once.  Deterministic.
extern "C" __global__ void __launch_bounds__(256, 4) group_norm_affine(const X_T* __restrict__ x, const X2_T* __restrict__ x2,
    const float* __restrict__ gamma, const float* __restrict__ beta, const float* __restrict__ film, const float* __restrict__ counts,
    float* partials, u32* counters, float* affine, float epsilon, int groups, int tiles_arg, int tile_pixels_arg, int pixels_arg,
    int c1_arg, int c2_arg) {
    __shared__ __align__(16) float shared[2 * 256 * VECTOR];
    __shared__ int flag;
    int n = blockIdx.x / TILES, tile = blockIdx.x - n * TILES;
    int first = tile * TILE_PIXELS, pixels = min(TILE_PIXELS, PIXELS - first);
    size_t start = (size_t)n * PIXELS + first;
    float* partial = partials + (size_t)blockIdx.x * 2 * (C1 + C2);
    reduce_tile<VECTOR, 2>(C1 + C2, pixels, shared,
        [&](int c, int row, int rows, float (&moments)[2][VECTOR]) {
            int count = pixels_of_row(pixels, row, rows);
            if (c < C1) pixel_moments<VECTOR>(x + (start + row) * C1 + c, (size_t)rows * C1, count, moments[0], moments[1]);
            else pixel_moments<VECTOR>(x2 + (start + row) * C2 + (c - C1), (size_t)rows * C2, count, moments[0], moments[1]);
        },
        [&](int c, int rows, const float* row_moments, int stride) {
            Moments moments = merge_rows<VECTOR>(pixels, rows, row_moments, stride);
            partial[c] = moments.mean;
            partial[C1 + C2 + c] = moments.m2;
        });
    if (!is_last_block(counters + n, TILES, &flag)) return;
    ChannelStatistics all = {partials + (size_t)n * TILES * 2 * (C1 + C2), counts, TILES, C1 + C2}, none = {nullptr, nullptr, 0, 0};
    size_t row = (size_t)n * 2 * (C1 + C2);
    group_norm_finish<FILM>(all, none, gamma, beta, FILM ? film + row : nullptr, epsilon, groups, affine + row);
}
#endif

#ifdef GROUP_NORM_APPLY
// group_norm_apply   y = activation(scale[n, c] * x + shift[n, c]).
// x, y [COUNT] = [N, PIXELS, C]; affine [N, 2, C].  grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be x.  Deterministic.
extern "C" __global__ void group_norm_apply(
    const X_T* x, const float* __restrict__ affine, Y_T* y, int count_arg, int pixels_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / C, c = i - pixel * C;
    const float* row = affine + (size_t)(pixel / PIXELS) * 2 * C + c;
    float v[VECTOR], scale[VECTOR], shift[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    load<float, VECTOR>(row, scale);
    load<float, VECTOR>(row + C, shift);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] = activate<ACTIVATION>(fmaf(scale[k], v[k], shift[k]));
    store<Y_T, VECTOR>(y + i, v);
}
#endif

#ifdef GROUP_NORM_GRAD_SUMS
// group_norm_grad_sums   With g = dy * activation'(scale x + shift) and xhat = normal_scale x + normal_shift, for each image:
//   sums = (sum of g, sum of g xhat, A, B) by channel;  A, B = means over the channel's group of scale g and scale g xhat.
// x, dy [N, PIXELS, C]; affine, normal [N, 2, C]; sums [N, 4, C] '='; partials [N, TILES, 2, C] scratch; counters [N] zero, and
// zero again afterwards.  grid N * TILES, block 256: a block takes TILE_PIXELS pixels, the last block of an image finishes it.
// Shared memory 2048 * VECTOR + 4 bytes.  Each element is read once.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) group_norm_grad_sums(const X_T* __restrict__ x, const float* __restrict__ affine,
    const float* __restrict__ normal, const DY_T* __restrict__ dy, float* partials, u32* counters, float* sums, int groups, int tiles_arg,
    int tile_pixels_arg, int pixels_arg, int c_arg) {
    __shared__ __align__(16) float shared[2 * 256 * VECTOR];
    __shared__ int flag;
    int n = blockIdx.x / TILES, tile = blockIdx.x - n * TILES;
    int first = tile * TILE_PIXELS, pixels = min(TILE_PIXELS, PIXELS - first);
    size_t start = (size_t)n * PIXELS + first;
    affine += (size_t)n * 2 * C;
    normal += (size_t)n * 2 * C;
    sums += (size_t)n * 4 * C;
    float* partial = partials + (size_t)blockIdx.x * 2 * C;
    reduce_tile<VECTOR, 2>(C, pixels, shared,
        [&](int c, int row, int rows, float (&sum)[2][VECTOR]) {
            float scale[VECTOR], shift[VECTOR], normal_scale[VECTOR], normal_shift[VECTOR];
            load<float, VECTOR>(affine + c, scale);
            load<float, VECTOR>(affine + C + c, shift);
            load<float, VECTOR>(normal + c, normal_scale);
            load<float, VECTOR>(normal + C + c, normal_shift);
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sum[0][k] = 0.f, sum[1][k] = 0.f;
#pragma unroll 2
            for (int p = row; p < pixels; p += rows) {
                float v[VECTOR], d[VECTOR];
                load<X_T, VECTOR>(x + (start + p) * C + c, v);
                load<DY_T, VECTOR>(dy + (start + p) * C + c, d);
#pragma unroll
                for (int k = 0; k < VECTOR; k++) {
                    float g = d[k] * activate_grad<ACTIVATION>(fmaf(scale[k], v[k], shift[k]));
                    sum[0][k] += g;
                    sum[1][k] = fmaf(g, fmaf(normal_scale[k], v[k], normal_shift[k]), sum[1][k]);
                }
            }
        },
        [&](int c, int rows, const float* sum, int stride) {
            partial[c] = sum_rows(rows, sum, stride);
            partial[C + c] = sum_rows(rows, sum + 256 * VECTOR, stride);
        });
    if (!is_last_block(counters + n, TILES, &flag)) return;
    sum_tiles(partials + (size_t)n * TILES * 2 * C, TILES, 2 * C, sums);
    __syncthreads();
    int size = C / groups;
    float inverse = 1.f / ((float)size * (float)PIXELS);
    for (int group = threadIdx.x >> 5; group < groups; group += 8) {
        float a = 0.f, b = 0.f;
        for (int c = group * size + (threadIdx.x & 31); c < (group + 1) * size; c += 32) {
            a = fmaf(affine[c], sums[c], a);
            b = fmaf(affine[c], sums[C + c], b);
        }
        a = warp_sum(a) * inverse;
        b = warp_sum(b) * inverse;
        for (int c = group * size + (threadIdx.x & 31); c < (group + 1) * size; c += 32) sums[2 * C + c] = a, sums[3 * C + c] = b;
    }
}
#endif

#ifdef GROUP_NORM_GRAD_INPUT
// group_norm_grad_input   dx = scale g - A - xhat B with g, xhat, A and B of group_norm_grad_sums.
// x, dy, dx [COUNT] = [N, PIXELS, C]; affine, normal [N, 2, C]; sums [N, 4, C].  grid ceil(COUNT / (256 * VECTOR)), block 256.
// dx '=', may be dy.  Deterministic.
extern "C" __global__ void group_norm_grad_input(
    const X_T* __restrict__ x, const float* __restrict__ affine, const float* __restrict__ normal,
    const DY_T* dy, const float* __restrict__ sums, DX_T* dx, int count_arg, int pixels_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / C, c = i - pixel * C;
    size_t row = (size_t)(pixel / PIXELS) * 2 * C + c, sum_row = row * 2 - c + 2 * C;
    float v[VECTOR], d[VECTOR], scale[VECTOR], shift[VECTOR], normal_scale[VECTOR], normal_shift[VECTOR], a[VECTOR], b[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    load<DY_T, VECTOR>(dy + i, d);
    load<float, VECTOR>(affine + row, scale);
    load<float, VECTOR>(affine + row + C, shift);
    load<float, VECTOR>(normal + row, normal_scale);
    load<float, VECTOR>(normal + row + C, normal_shift);
    load<float, VECTOR>(sums + sum_row, a);
    load<float, VECTOR>(sums + sum_row + C, b);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) {
        float g = d[k] * activate_grad<ACTIVATION>(fmaf(scale[k], v[k], shift[k]));
        float xhat = fmaf(normal_scale[k], v[k], normal_shift[k]);
        d[k] = fmaf(scale[k], g, -fmaf(xhat, b[k], a[k]));
    }
    store<DX_T, VECTOR>(dx + i, d);
}
#endif

#ifdef GROUP_NORM_GRAD_AFFINE
// group_norm_grad_affine   y = (dgamma, dbeta): sums over images of (1 + film_scale) * sum of g xhat, and of g.
// sums [N, 4, C] of group_norm_grad_sums; film [N, 2C], read where FILM; y [2, C].  grid ceil(C / 256), block 256.
// y '='.  Deterministic.
extern "C" __global__ void group_norm_grad_affine(const float* __restrict__ sums, const float* __restrict__ film, float* __restrict__ y,
    int n_arg, int c_arg) {
    int c = blockIdx.x * 256 + threadIdx.x;
    if (c >= C) return;
    float gamma = 0.f, beta = 0.f;
#pragma unroll 4
    for (int n = 0; n < N; n++) {
        float factor = FILM ? 1.f + film[(size_t)n * 2 * C + c] : 1.f;
        beta = fmaf(factor, sums[(size_t)n * 4 * C + c], beta);
        gamma = fmaf(factor, sums[((size_t)n * 4 + 1) * C + c], gamma);
    }
    y[c] = gamma;
    y[C + c] = beta;
}
#endif

#ifdef GROUP_NORM_GRAD_FILM
// group_norm_grad_film   y[n] = (gamma * sum of g xhat + beta * sum of g, sum of g) by channel.
// sums [N, 4, C] of group_norm_grad_sums; gamma, beta [C]; y [COUNT] = [N, 2C].  grid ceil(COUNT / 256), block 256.
// y '='.  Deterministic.
extern "C" __global__ void group_norm_grad_film(
    const float* __restrict__ sums, const float* __restrict__ gamma, const float* __restrict__ beta,
    float* __restrict__ y, int count_arg, int c_arg) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= COUNT) return;
    int n = i / (2 * C), c = i - n * 2 * C;
    const float* row = sums + (size_t)n * 4 * C;
    y[i] = c < C ? fmaf(gamma[c], row[C + c], beta[c] * row[c]) : row[c - C];
}
#endif
