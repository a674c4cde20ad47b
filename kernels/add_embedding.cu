#include "channel_tile.cuh"

#ifdef ADD_EMBEDDING_FORWARD
// add_embedding_forward   y[n, p, c] = x[n, p, c] + e[n, c].
// x, y [COUNT] = [N, PIXELS, C], e [N, C].  grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be x.  Deterministic.
extern "C" __global__ void add_embedding_forward(
    const X_T* x, const E_T* __restrict__ e, Y_T* y, int count_arg, int pixels_arg, int c_arg) {
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

#ifdef ADD_EMBEDDING_GRAD_EMBEDDING
// add_embedding_grad_embedding   de[n, c] = sum over p of dy[n, p, c].
// dy [N, PIXELS, C]; de [N, C]; partials [N, TILES, C] scratch; counters [N] zero, and zero again afterwards.
// grid N * TILES, block 256: a block takes TILE_PIXELS pixels, the last block of an image adds them up.
// Shared memory 1024 * VECTOR + 4 bytes.  de '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) add_embedding_grad_embedding(
    const DY_T* __restrict__ dy, float* partials, u32* counters, float* de, int tiles_arg, int tile_pixels_arg, int pixels_arg, int c_arg) {
    __shared__ __align__(16) float sums[256 * VECTOR];
    __shared__ int flag;
    int n = blockIdx.x / TILES, tile = blockIdx.x - n * TILES;
    int first = tile * TILE_PIXELS, pixels = min(TILE_PIXELS, PIXELS - first);
    const DY_T* start = dy + ((size_t)n * PIXELS + first) * C;
    reduce_tile<VECTOR, 1>(C, pixels, sums,
        [&](int c, int row, int rows, float (&sum)[1][VECTOR]) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sum[0][k] = 0.f;
#pragma unroll 4
            for (int p = row; p < pixels; p += rows) {
                float v[VECTOR];
                load<DY_T, VECTOR>(start + (size_t)p * C + c, v);
#pragma unroll
                for (int k = 0; k < VECTOR; k++) sum[0][k] += v[k];
            }
        },
        [&](int c, int rows, const float* sum, int stride) { partials[(size_t)blockIdx.x * C + c] = sum_rows(rows, sum, stride); });
    if (is_last_block(counters + n, TILES, &flag)) sum_tiles(partials + (size_t)n * TILES * C, TILES, C, de + (size_t)n * C);
}
#endif
