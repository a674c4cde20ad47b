// How one block of 256 threads reduces a tile of pixels to a few numbers for each channel.
#pragma once
#include "common.cuh"

// Threads take columns of Vector channels side by side, and as many pixels at once as there are threads for:
//   visit(c, row, rows, x)            sets x[Numbers][Vector] of channels c.. from pixels row, row + rows, .. of the tile
//   combine(c, rows, x, stride)       takes those of channel c: number k of row r < rows is x[k * 256 * Vector + r * stride]
// pixels > 0, channels a multiple of Vector; `shared` holds Numbers * 256 * Vector floats on a 16-byte boundary.
template <int Vector, int Numbers, typename Visit, typename Combine>
__device__ __forceinline__ void reduce_tile(int channels, int pixels, float* shared, Visit visit, Combine combine) {
    for (int base = 0; base < channels; base += 256 * Vector) {
        int columns = min(256, (channels - base) / Vector);
        int rows = min(256 / columns, pixels);
        int row = (int)threadIdx.x / columns;
        if (row < rows) {
            float x[Numbers][Vector];
            visit(base + ((int)threadIdx.x - row * columns) * Vector, row, rows, x);
#pragma unroll
            for (int k = 0; k < Numbers; k++) store<float, Vector>(shared + (k * 256 + threadIdx.x) * Vector, x[k]);
        }
        __syncthreads();
        for (int c = threadIdx.x; c < columns * Vector; c += 256) combine(base + c, rows, shared + c, columns * Vector);
        __syncthreads();
    }
}

// How many of `pixels` are row, row + rows, ..
__device__ __forceinline__ int pixels_of_row(int pixels, int row, int rows) { return (pixels - row + rows - 1) / rows; }

// y[i] = sum over tiles of parts[tile, i], i < width, in the order of tiles. `parts` is not __restrict__: earlier
// blocks of the same grid wrote it, and the read-only cache would not know.
__device__ __forceinline__ void sum_tiles(const float* parts, int tiles, int width, float* y) {
    for (int i = threadIdx.x; i < width; i += 256) {
        float sum = 0.f;
#pragma unroll 8
        for (int t = 0; t < tiles; t++) sum += parts[(size_t)t * width + i];
        y[i] = sum;
    }
}

// A channel's sums over a tile from those of its rows, as reduce_tile gives them.
__device__ __forceinline__ float sum_rows(int rows, const float* a, int stride) {
    float sum = 0.f;
    for (int r = 0; r < rows; r++) sum += a[r * stride];
    return sum;
}
