// The part of an image that a tile of output pixels needs, on its way to shared memory.
//
// A block keeps the patch of its tile, a chunk of channels at a time, and all taps of the kernel read it there: each element
// is fetched, normalised and activated once, where an implicit GEMM over taps would do it K * K times. fetch() starts the
// loads of a chunk into registers, deposit() does the maths and writes shared memory: the products of the chunk before run
// between the two and hide the latency.
#pragma once

#include "conv2d_tiles.cuh"

// How the convolution sees its input's pixels.
#define SPREAD_NONE 0
// Each twice in both directions (nearest upsampling).
#define SPREAD_NEAREST 1
// With zeros between them, as the gradient of stride 2 does.
#define SPREAD_ZEROS 2

// An input, and a second one that is read as if concatenated to it.
template <typename Source, typename Source2>
struct ConvInput {
    const Source* x;
    const Source2* x2;
    int height, width, channels, channels2;

    // Of image n.
    __device__ __forceinline__ ConvInput image(int n) const {
        size_t pixels = (size_t)n * height * width;
        return {x + pixels * channels, x2 + pixels * channels2, height, width, channels, channels2};
    }
};

template <typename First, typename Second>
constexpr bool same_type = false;
template <typename First>
constexpr bool same_type<First, First> = true;

// Count neighbours as 32-bit words; Count may be an odd one of 16 bits, which stays in the low half.
template <typename Source, int Count>
__device__ __forceinline__ void load_words(const Source* p, u32* y) {
    constexpr int bytes = Count * (int)sizeof(Source);
    static_assert(bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16, "a vector has 2 to 16 bytes");
    if constexpr (bytes == 16) {
        uint4 v = __ldg((const uint4*)p);
        y[0] = v.x, y[1] = v.y, y[2] = v.z, y[3] = v.w;
    } else if constexpr (bytes == 8) {
        uint2 v = __ldg((const uint2*)p);
        y[0] = v.x, y[1] = v.y;
    } else if constexpr (bytes == 4) {
        y[0] = __ldg((const u32*)p);
    } else {
        y[0] = __ldg((const u16*)p);
    }
}

// A unit of the compute type from floats.
template <typename Operand>
__device__ __forceinline__ void pack_unit(const float (&x)[unit_elements<Operand>], u32 (&y)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if constexpr (same_type<Operand, float>) y[i] = __float_as_uint(x[i]);
        else if constexpr (same_type<Operand, tf32>) y[i] = round_to_tf32(x[i]);
        else y[i] = pack2<Operand>(x[2 * i], x[2 * i + 1]);
    }
}

// TileH x TileW output pixels, Units 16-byte units of channels. Vector neighbours are loaded at once; it divides the channel
// counts of both inputs. Rows of the shared patch are pixels: Units + 1 units each, an odd number.
template <typename Operand, typename Source, typename Source2, int Kernel, int Stride, int Spread, int TileH, int TileW,
    int Units, int Vector, bool Concat, bool Affine, int Activation, int Threads>
struct Patch {
    static constexpr int elements = unit_elements<Operand>, chunk = Units * elements;
    static constexpr int height = (TileH - 1) * Stride + Kernel, width = (TileW - 1) * Stride + Kernel;
    static constexpr int pitch = (Units + 1) * 16, bytes = height * width * pitch;
    static constexpr int per_thread = (height * width * Units + Threads - 1) / Threads;
    static constexpr bool mixed = Concat && !same_type<Source, Source2>;
    static constexpr int source_bytes = mixed ? 4 : (int)sizeof(Source);
    static constexpr int vector = Vector < elements ? Vector : elements;
    static constexpr int words = elements * source_bytes / 4;
    static constexpr bool as_is = !Affine && Activation == ACTIVATION_NONE
        && (same_type<Source, Operand> || (same_type<Source, float> && same_type<Operand, float>)) && !mixed;
    static_assert(Threads % Units == 0, "a thread keeps its unit");

    // Elements of this thread's units as loaded, the unit's pixel in the source or -1, its place in the shared patch.
    u32 raw[per_thread][words];
    int pixel[per_thread];
    ConvInput<Source, Source2> input;

    // Columns of a stride-2 patch lie even ones first: neighbours in the output are then neighbours in the patch.
    static __device__ __forceinline__ constexpr int column(int x) {
        return Stride == 2 ? x / 2 + x % 2 * ((width + 1) / 2) : x;
    }

    // Bytes from output pixel 0 to output pixel `row` of the tile, at tap (0, 0).
    static __device__ __forceinline__ constexpr int row_offset(int row) {
        return (row / TileW * Stride * width + row % TileW) * pitch;
    }

    static __device__ __forceinline__ constexpr int tap_offset(int ky, int kx) { return (ky * width + column(kx)) * pitch; }

    static __device__ __forceinline__ int unit() { return threadIdx.x % Units; }

    // The patch of the tile whose first output pixel is (y0, x0).
    __device__ __forceinline__ void locate(const ConvInput<Source, Source2>& image, int y0, int x0, int padding) {
        input = image;
#pragma unroll
        for (int i = 0; i < per_thread; i++) {
            int p = (threadIdx.x + i * Threads) / Units;
            int y = y0 * Stride - padding + p / width, x = x0 * Stride - padding + p % width;
            constexpr int spread = Spread == SPREAD_NONE ? 1 : 2;
            bool inside = p < height * width && y >= 0 && x >= 0 && y < spread * image.height && x < spread * image.width;
            if constexpr (Spread == SPREAD_ZEROS) inside = inside && y % 2 == 0 && x % 2 == 0;
            pixel[i] = inside ? y / spread * image.width + x / spread : -1;
        }
    }

    // Starts the loads of the chunk whose first channel is c0.
    __device__ __forceinline__ void fetch(int c0) {
        int c = c0 + unit() * elements;
        int channels = input.channels + (Concat ? input.channels2 : 0);
#pragma unroll
        for (int i = 0; i < per_thread; i++) {
#pragma unroll
            for (int w = 0; w < words; w++) raw[i][w] = 0;
            int at = pixel[i];
            // Otherwise the compiler keeps every unit's address, 64 bits for each input, across the loop over chunks.
            asm volatile("" : "+r"(at));
#pragma unroll
            for (int k = 0; k < elements; k += vector)
                if (at >= 0 && c + k < channels) fetch_vector(raw[i], at, k, c + k);
        }
    }

    // Writes one of `parts` parts of the chunk, `scale` and `shift` being those of its first channel in shared memory.
    __device__ __forceinline__ void deposit(u32 patch, const float* scale, const float* shift, int part = 0, int parts = 1) const {
        float a[elements], b[elements];
        if constexpr (Affine) {
            load<float, elements>(scale + unit() * elements, a);
            load<float, elements>(shift + unit() * elements, b);
        }
#pragma unroll
        for (int i = 0; i < per_thread; i++) {
            if (i * parts / per_thread != part) continue;
            int p = (threadIdx.x + i * Threads) / Units;
            u32 packed[4];
            if constexpr (as_is) {
#pragma unroll
                for (int w = 0; w < 4; w++) packed[w] = raw[i][w];
            } else {
                float v[elements];
                unpack(raw[i], v);
                // Padding is zero after the affine.
                if constexpr (Affine) {
#pragma unroll
                    for (int k = 0; k < elements; k++) v[k] = pixel[i] >= 0 ? fmaf(v[k], a[k], b[k]) : 0.f;
                }
#pragma unroll
                for (int k = 0; k < elements; k++) v[k] = activate<Activation>(v[k]);
                pack_unit<Operand>(v, packed);
            }
            const bool exists = (i + 1) * Threads <= height * width * Units || p < height * width;
            store_unit(patch + (p / width * width + column(p % width)) * pitch + unit() * 16, packed, exists);
        }
    }

private:
    __device__ __forceinline__ void fetch_vector(u32 (&y)[words], int at, int k, int c) const {
        const Source* p = input.x + (size_t)at * input.channels + c;
        if constexpr (mixed) {
            float v[vector];
            if (c < input.channels) load<Source, vector>(p, v);
            else load<Source2, vector>(input.x2 + (size_t)at * input.channels2 + (c - input.channels), v);
#pragma unroll
            for (int n = 0; n < vector; n++) y[k + n] = __float_as_uint(v[n]);
        } else {
            if constexpr (Concat) {
                if (c >= input.channels) p = (const Source*)input.x2 + (size_t)at * input.channels2 + (c - input.channels);
            }
            constexpr int step = vector * source_bytes > 16 ? 16 / source_bytes : vector;
#pragma unroll
            for (int n = 0; n < vector; n += step) {
                u32 loaded[4];
                load_words<Source, step>(p + n, loaded);
                int first = (k + n) * source_bytes / 4;
                if constexpr (step * source_bytes < 4) y[first] |= loaded[0] << ((k + n) % 2 * 16);
                else {
#pragma unroll
                    for (int w = 0; w < step * source_bytes / 4; w++) y[first + w] = loaded[w];
                }
            }
        }
    }

    static __device__ __forceinline__ void unpack(const u32 (&x)[words], float (&y)[elements]) {
#pragma unroll
        for (int k = 0; k < elements; k++) {
            if constexpr (source_bytes == 4) y[k] = __uint_as_float(x[k]);
            else {
                Source element;
                element.bits = (u16)(x[k / 2] >> (k % 2 * 16));
                y[k] = to_float(element);
            }
        }
    }
};
