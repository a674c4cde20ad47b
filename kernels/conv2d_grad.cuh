// Products of a warp's part of the gradient of a convolution's weights: rows are output channels, columns input channels,
// for each of several taps; depth is pixels. Both operands lie pixel by pixel, so depth is the slow dimension here.
//
// Three classes, one interface: depth (pixels of a step), the bytes from a step's first pixel to what a lane reads,
// step(), and visit(), which hands out the sums as pairs of neighbouring columns.
#pragma once

#include "conv2d_patch.cuh"

// On tensor cores, 16-bit operands. XP and GP are the patches of x and dy.
template <typename Operand, typename InputPatch, typename GradientPatch, int Rows, int Columns, int TapRows, int Kernel>
struct GradTile {
    static_assert(Rows % 16 == 0 && Columns % 16 == 0, "sub-tiles are 16 x 16");
    static constexpr int depth = 16, element_bytes = 2;
    static constexpr bool unroll = true;
    float sums[TapRows * Kernel][Rows / 16][Columns / 8][4] = {};

    static __device__ __forceinline__ int gradient_offset(int lane) {
        return GradientPatch::row_offset((lane & 7) + (lane >> 4) * 8) + (lane >> 3 & 1) * 16;
    }
    static __device__ __forceinline__ int input_offset(int lane) { return InputPatch::row_offset(lane & 15) + (lane >> 4) * 16; }

    __device__ __forceinline__ void step(u32 gradient, u32 input) {
        u32 a[Rows / 16][4];
#pragma unroll
        for (int i = 0; i < Rows / 16; i++) load_matrices_transposed(a[i], gradient + i * 32);
#pragma unroll
        for (int tap = 0; tap < TapRows * Kernel; tap++)
#pragma unroll
            for (int j = 0; j < Columns / 16; j++) {
                u32 b[4];
                load_matrices_transposed(b, input + InputPatch::tap_offset(tap / Kernel, tap % Kernel) + j * 32);
                const u32 first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
#pragma unroll
                for (int i = 0; i < Rows / 16; i++) {
                    mma<Operand>(sums[tap][i][2 * j], a[i], first);
                    mma<Operand>(sums[tap][i][2 * j + 1], a[i], second);
                }
            }
    }

    // f(row, column, tap, sum, sum of the next column)
    template <typename Call>
    __device__ __forceinline__ void visit(int lane, Call f) const {
#pragma unroll
        for (int tap = 0; tap < TapRows * Kernel; tap++)
#pragma unroll
            for (int i = 0; i < Rows / 16; i++)
#pragma unroll
                for (int j = 0; j < Columns / 8; j++) {
                    const float(&s)[4] = sums[tap][i][j];
                    int row = i * 16 + (lane >> 2), column = j * 8 + (lane & 3) * 2;
                    f(row, column, tap, s[0], s[1]);
                    f(row + 8, column, tap, s[2], s[3]);
                }
    }
};

// On tensor cores, tf32: ldmatrix cannot transpose 32-bit elements, so each lane reads its own.
template <typename InputPatch, typename GradientPatch, int Rows, int Columns, int TapRows, int Kernel>
struct GradTile<tf32, InputPatch, GradientPatch, Rows, Columns, TapRows, Kernel> {
    static_assert(Rows % 16 == 0 && Columns % 8 == 0, "sub-tiles are 16 x 8");
    static constexpr int depth = 8, element_bytes = 4;
    static constexpr bool unroll = true;
    float sums[TapRows * Kernel][Rows / 16][Columns / 8][4] = {};

    static __device__ __forceinline__ int gradient_offset(int lane) { return GradientPatch::row_offset(lane & 3) + (lane >> 2) * 4; }
    static __device__ __forceinline__ int input_offset(int lane) { return InputPatch::row_offset(lane & 3) + (lane >> 2) * 4; }

    __device__ __forceinline__ void step(u32 gradient, u32 input) {
        u32 a[Rows / 16][4];
#pragma unroll
        for (int i = 0; i < Rows / 16; i++) {
            a[i][0] = load_word(gradient + i * 64);
            a[i][1] = load_word(gradient + i * 64 + 32);
            a[i][2] = load_word(gradient + GradientPatch::row_offset(4) + i * 64);
            a[i][3] = load_word(gradient + GradientPatch::row_offset(4) + i * 64 + 32);
        }
#pragma unroll
        for (int tap = 0; tap < TapRows * Kernel; tap++)
#pragma unroll
            for (int j = 0; j < Columns / 8; j++) {
                const u32 p = input + InputPatch::tap_offset(tap / Kernel, tap % Kernel) + j * 32;
                const u32 b[2] = {load_word(p), load_word(p + InputPatch::row_offset(4))};
#pragma unroll
                for (int i = 0; i < Rows / 16; i++) mma<tf32>(sums[tap][i][j], a[i], b);
            }
    }

    template <typename Call>
    __device__ __forceinline__ void visit(int lane, Call f) const {
#pragma unroll
        for (int tap = 0; tap < TapRows * Kernel; tap++)
#pragma unroll
            for (int i = 0; i < Rows / 16; i++)
#pragma unroll
                for (int j = 0; j < Columns / 8; j++) {
                    const float(&s)[4] = sums[tap][i][j];
                    int row = i * 16 + (lane >> 2), column = j * 8 + (lane & 3) * 2;
                    f(row, column, tap, s[0], s[1]);
                    f(row + 8, column, tap, s[2], s[3]);
                }
    }
};

// In exact float32: a lane sums 4 x 2 channels of a 16 x 16 tile.
template <typename InputPatch, typename GradientPatch, int TapRows, int Kernel>
struct GradTile<float, InputPatch, GradientPatch, 16, 16, TapRows, Kernel> {
    static constexpr int depth = 1, element_bytes = 4;
    static constexpr bool unroll = false;
    float sums[TapRows * Kernel][4][2] = {};

    static __device__ __forceinline__ int gradient_offset(int lane) { return (lane >> 3) * 16; }
    static __device__ __forceinline__ int input_offset(int lane) { return (lane & 7) * 8; }

    __device__ __forceinline__ void step(u32 gradient, u32 input) {
        float a[4];
        load_unit(a, gradient);
#pragma unroll
        for (int tap = 0; tap < TapRows * Kernel; tap++) {
            const u32 p = input + InputPatch::tap_offset(tap / Kernel, tap % Kernel);
            float b[2];
            load_pair(b, p);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 2; j++) sums[tap][i][j] = fmaf(a[i], b[j], sums[tap][i][j]);
        }
    }

    template <typename Call>
    __device__ __forceinline__ void visit(int lane, Call f) const {
#pragma unroll
        for (int tap = 0; tap < TapRows * Kernel; tap++)
#pragma unroll
            for (int i = 0; i < 4; i++) f((lane >> 3) * 4 + i, (lane & 7) * 2, tap, sums[tap][i][0], sums[tap][i][1]);
    }
};
