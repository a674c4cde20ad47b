#include "norm_statistics.cuh"

#ifdef GROUP_NORM_AFFINE

// Mean and M2 of VECTOR channels over `count` pixels that lie `step` elements apart; count > 0.
template <typename T>
__device__ __forceinline__ void gather(const T* __restrict__ p, size_t step, int count, float (&mean)[VECTOR], float (&m2)[VECTOR]) {
    float v[VECTOR];
    RunningMoments running[VECTOR];
    load<T, VECTOR>(p, v);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) running[k].start(v[k]);
    // Four loads in flight.
#pragma unroll 4
    for (int i = 1; i < count; i++) {
        load<T, VECTOR>(p + i * step, v);
#pragma unroll
        for (int k = 0; k < VECTOR; k++) running[k].add(v[k]);
    }
#pragma unroll
    for (int k = 0; k < VECTOR; k++) {
        Moments moments = running[k].moments((float)count);
        mean[k] = moments.mean;
        m2[k] = moments.m2;
    }
}

// group_norm_affine   scale and shift of group norm such that the normalised value is scale * x + shift: see
// group_norm_finish. x [N, PIXELS, C1], x2 [N, PIXELS, C2] as if concatenated; gamma, beta [C]; film [N, 2C], read where FILM;
// counts [TILES] pixels of each tile, TILE_PIXELS in all but the last; affine [N, 2, C] '='.
// partials [N, TILES, 2, C] scratch; counters [N] zero, and zero again afterwards.  VECTOR divides C1 and C2.
// grid N * TILES, block 256: a block takes a tile of pixels, the last block of an image finishes it.
// Shared memory 2048 * VECTOR + 4 bytes.  Each element is read once.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) group_norm_affine(const X_T* __restrict__ x, const X2_T* __restrict__ x2,
    const float* __restrict__ gamma, const float* __restrict__ beta, const float* __restrict__ film, const float* __restrict__ counts,
    float* partials, u32* counters, float* affine, float epsilon, int groups, int tiles_arg, int tile_pixels_arg, int pixels_arg,
    int c1_arg, int c2_arg) {
    __shared__ __align__(16) float means[256 * VECTOR];
    __shared__ __align__(16) float squares[256 * VECTOR];
    __shared__ int flag;
    constexpr int block = 256;
    int n = blockIdx.x / TILES, tile = blockIdx.x - n * TILES;
    int first = tile * TILE_PIXELS, pixels = min(TILE_PIXELS, PIXELS - first);
    float* partial = partials + (size_t)blockIdx.x * 2 * (C1 + C2);

    // Threads take columns of VECTOR channels side by side, and as many pixels at once as there are threads for.
    for (int base = 0; base < C1 + C2; base += block * VECTOR) {
        int columns = min(block, (C1 + C2 - base) / VECTOR);
        int rows = min(block / columns, pixels);
        int row = threadIdx.x / columns;
        if (row < rows) {
            int c = base + (threadIdx.x - row * columns) * VECTOR;
            int count = (pixels - row + rows - 1) / rows;
            size_t pixel = (size_t)n * PIXELS + first + row;
            float mean[VECTOR], m2[VECTOR];
            if (c < C1) gather<X_T>(x + pixel * C1 + c, (size_t)rows * C1, count, mean, m2);
            else gather<X2_T>(x2 + pixel * C2 + (c - C1), (size_t)rows * C2, count, mean, m2);
            store<float, VECTOR>(means + threadIdx.x * VECTOR, mean);
            store<float, VECTOR>(squares + threadIdx.x * VECTOR, m2);
        }
        __syncthreads();
        for (int c = threadIdx.x; c < columns * VECTOR; c += block) {
            // Row r has one pixel more than the last while r < the remainder.
            int least = pixels / rows, more = pixels - least * rows;
            float sum = 0.f, m2 = 0.f;
            for (int r = 0; r < rows; r++) sum = fmaf((float)(least + (r < more)), means[r * columns * VECTOR + c], sum);
            float mean = sum / (float)pixels;
            for (int r = 0; r < rows; r++) {
                float d = means[r * columns * VECTOR + c] - mean;
                m2 += fmaf((float)(least + (r < more)) * d, d, squares[r * columns * VECTOR + c]);
            }
            partial[base + c] = mean;
            partial[C1 + C2 + base + c] = m2;
        }
        __syncthreads();
    }
    if (!is_last_block(counters + n, TILES, &flag)) return;
    ChannelStatistics all = {partials + (size_t)n * TILES * 2 * (C1 + C2), counts, TILES, C1 + C2}, none = {nullptr, nullptr, 0, 0};
    size_t row = (size_t)n * 2 * (C1 + C2);
    group_norm_finish<FILM>(all, none, gamma, beta, FILM ? film + row : nullptr, epsilon, groups, affine + row);
}
#endif

#ifdef GROUP_NORM_APPLY
// group_norm_apply   y = activation(scale[n, c] * x + shift[n, c]).
// x, y [COUNT] = [N, PIXELS, C]; affine [N, 2, C].  grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be x.  Deterministic.
extern "C" __global__ void group_norm_apply(const X_T* x, const float* __restrict__ affine, Y_T* y, int count_arg, int pixels_arg, int c_arg) {
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
