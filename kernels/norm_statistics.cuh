// Statistics of group norm: gathered for each channel over tiles of pixels, combined for each group by one block.
//
// Everywhere a mean goes with M2, the sum of squared deviations from that mean. A sum of squares alone would lose the
// variance where the mean is large against it.
#pragma once
#include "channel_tile.cuh"

// Count, mean and M2 of a set of numbers.
struct Moments {
    float count, mean, m2;
};

// Of the union of two disjoint sets (Chan, Golub, LeVeque 1979). Either may be empty.
__device__ __forceinline__ Moments merge(Moments a, Moments b) {
    float count = a.count + b.count;
    if (count == 0.f) return a;
    float part = __fdividef(b.count, count);
    float delta = b.mean - a.mean;
    return {count, fmaf(delta, part, a.mean), a.m2 + fmaf(delta * delta, a.count * part, b.m2)};
}

// One thread's sums over a stream of numbers, which give moments without a division for each: sums of deviations from the
// first number. That is rarely more than a few standard deviations from the mean, so little is lost when its square is
// taken off again.
struct RunningMoments {
    float origin, sum, squares;

    __device__ __forceinline__ void start(float first) { origin = first, sum = 0.f, squares = 0.f; }

    // For each number after the first.
    __device__ __forceinline__ void add(float x) {
        float d = x - origin;
        sum += d;
        squares = fmaf(d, d, squares);
    }

    // Of `count` numbers, the first among them.
    __device__ __forceinline__ Moments moments(float count) const {
        float mean = __fdividef(sum, count);
        return {count, origin + mean, fmaf(-sum, mean, squares)};
    }
};

// Mean and M2 of Vector channels over `count` > 0 pixels that lie `step` elements apart.
template <int Vector, typename Type>
__device__ __forceinline__ void pixel_moments(
    const Type* __restrict__ p, size_t step, int count, float (&mean)[Vector], float (&m2)[Vector]) {
    float v[Vector];
    RunningMoments running[Vector];
    load<Type, Vector>(p, v);
#pragma unroll
    for (int k = 0; k < Vector; k++) running[k].start(v[k]);
    // Four loads in flight.
#pragma unroll 4
    for (int i = 1; i < count; i++) {
        load<Type, Vector>(p + i * step, v);
#pragma unroll
        for (int k = 0; k < Vector; k++) running[k].add(v[k]);
    }
#pragma unroll
    for (int k = 0; k < Vector; k++) {
        Moments moments = running[k].moments((float)count);
        mean[k] = moments.mean;
        m2[k] = moments.m2;
    }
}

// Moments of a channel over a tile of pixels from those of its rows, as reduce_tile gives them: two passes in shared memory.
template <int Vector>
__device__ __forceinline__ Moments merge_rows(int pixels, int rows, const float* means, int stride) {
    const float* squares = means + 256 * Vector;
    float sum = 0.f, m2 = 0.f;
    for (int r = 0; r < rows; r++) sum = fmaf((float)pixels_of_row(pixels, r, rows), means[r * stride], sum);
    float mean = sum / (float)pixels;
    for (int r = 0; r < rows; r++) {
        float d = means[r * stride] - mean;
        m2 += fmaf((float)pixels_of_row(pixels, r, rows) * d, d, squares[r * stride]);
    }
    return {(float)pixels, mean, m2};
}

// Statistics of the channels of one image's tensor, tile by tile.
struct ChannelStatistics {
    // [tiles, 2, channels]: mean, then M2. Not __restrict__: earlier blocks of the same grid may have written it, and the
    // read-only cache would not know.
    const float* partials;
    // [tiles] pixels; a tile of 0 pixels is not read.
    const float* counts;
    int tiles, channels;
};

// One lane adds its share of a group, channels first..first+size-1 of the two tensors in a row, to (count, mean): pass 1
// sums count * mean into `sum`; pass 2 sums the deviations from `mean`. Lanes take channels of a tile side by side.
template <bool Squares>
__device__ __forceinline__ void group_norm_gather(const ChannelStatistics& x, int first, int size, float mean, float& count, float& sum) {
    int lane = threadIdx.x & 31;
    int tile = lane / size, c = lane - tile * size;
    int tile_step = 32 / size, c_step = 32 - tile_step * size;
    while (tile < x.tiles) {
        float n = x.counts[tile];
        if (n > 0.f) {
            const float* p = x.partials + (size_t)tile * 2 * x.channels + first + c;
            if constexpr (Squares) {
                float d = p[0] - mean;
                sum += fmaf(n * d, d, p[x.channels]);
            } else {
                count += n;
                sum = fmaf(n, p[0], sum);
            }
        }
        tile += tile_step;
        c += c_step;
        if (c >= size) c -= size, tile++;
    }
}

// group_norm_finish   The affine of GroupNormAffine from one image's partial statistics of x and, concatenated to it, x2:
//   mean, M2 of a group = those of its channels and tiles;  rstd = 1 / sqrt(M2 / count + epsilon)
//   scale = gamma rstd (1 + film_scale);  shift = (beta - mean gamma rstd) (1 + film_scale) + film_shift
// x2.channels may be 0; a group may have channels of both. gamma, beta [C]; film [2C] of this image, read where Film;
// affine [2, C] '='.  All threads of a one-dimensional block of whole warps call it; a warp takes every (warps)th group.
// No shared memory, no barrier. Deterministic: the order depends on shapes alone.
template <bool Film>
__device__ __forceinline__ void group_norm_finish(const ChannelStatistics& x, const ChannelStatistics& x2, const float* __restrict__ gamma,
    const float* __restrict__ beta, const float* __restrict__ film, float epsilon, int groups, float* affine) {
    int channels = x.channels + x2.channels;
    int size = channels / groups;
    for (int group = threadIdx.x >> 5; group < groups; group += blockDim.x >> 5) {
        int first = group * size, end = first + size;
        int size1 = max(0, min(end, x.channels) - first), size2 = size - size1;
        int first2 = max(first, x.channels) - x.channels;

        // Two passes: the second reads what the first left in the cache, and needs no division for each tile.
        float count = 0.f, sum = 0.f, unused = 0.f;
        if (size1 > 0) group_norm_gather<false>(x, first, size1, 0.f, count, sum);
        if (size2 > 0) group_norm_gather<false>(x2, first2, size2, 0.f, count, sum);
        count = warp_sum(count);
        float mean = warp_sum(sum) / count;
        float m2 = 0.f;
        if (size1 > 0) group_norm_gather<true>(x, first, size1, mean, unused, m2);
        if (size2 > 0) group_norm_gather<true>(x2, first2, size2, mean, unused, m2);
        float rstd = rsqrtf(warp_sum(m2) / count + epsilon);

        for (int c = first + (threadIdx.x & 31); c < end; c += 32) {
            float scale = gamma[c] * rstd;
            float shift = fmaf(-mean, scale, beta[c]);
            if constexpr (Film) {
                float factor = 1.f + film[c];
                scale *= factor;
                shift = fmaf(shift, factor, film[channels + c]);
            }
            affine[c] = scale;
            affine[channels + c] = shift;
        }
    }
}
