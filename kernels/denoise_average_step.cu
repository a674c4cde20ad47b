#include "denoise.cuh"

#ifdef DENOISE_AVERAGE_STEP_FORWARD
constexpr int tile_side = 8;              // pixels, both ways
constexpr int patch_side = tile_side + 2; // with the convolution's halo
constexpr int chunk = 64;                 // channels in shared memory at a time
constexpr int slices = chunk / 4;         // threads that share four pixels, each with four channels of the chunk

// denoise_average_step_forward   The end of a sampling step:
//   mean = sum over the rows r of trajectory n of weights[r] * activation(scale[r] * h[r] + shift[r])
//   prediction = 3 x 3 convolution of mean with weight, padding 1, + bias
//   x0 = clip(cx x + cp prediction);  y = c0 x0 + ct x + sigma noise, coefficients from table[step]
// Rows of n are starts[n]..starts[n + 1] - 1.  h [R, H, W, C]; affine [R, 2, C], read where AFFINE; weight [O, 3, 3, C]; bias [O],
// read where BIAS; x, y, noise [N, H, W, O], noise read where NOISE; table [ROWS, 5]; step [1].  VECTOR divides C.
// grid (tiles of an image, N, ceil(O / OUTPUTS)), block 256.  Shared memory 4 * 64 * (100 + 9 * OUTPUTS) bytes.
// A tile's mean patch is computed once and read nine times, in float32. y '=', may be x.  Deterministic.
extern "C" __global__ void __launch_bounds__(256, 2) denoise_average_step_forward(
    const H_T* __restrict__ h, const float* __restrict__ affine,
    const int* __restrict__ starts, const float* __restrict__ weights, const float* __restrict__ weight, const float* __restrict__ bias,
    const X_T* x, const N_T* __restrict__ noise, const float* __restrict__ table, const int* __restrict__ step, Y_T* y,
    int rows_arg, int h_arg, int w_arg, int c_arg, int o_arg) {
    __shared__ __align__(16) float patch[patch_side * patch_side * chunk];
    __shared__ __align__(16) float taps[OUTPUTS * 9 * chunk];
    int tiles_across = (W + tile_side - 1) / tile_side;
    int top = (int)blockIdx.x / tiles_across * tile_side, left = (int)blockIdx.x % tiles_across * tile_side;
    int n = blockIdx.y, first_output = blockIdx.z * OUTPUTS;
    int first_row = starts[n], end_row = starts[n + 1];

    // This thread's share of the products: four neighbouring pixels of a line, four channels.
    int slice = threadIdx.x % slices, quad = threadIdx.x / slices;
    int line = quad / (tile_side / 4), column = quad % (tile_side / 4) * 4;
    float sum[4][OUTPUTS] = {};

    for (int base = 0; base < C; base += chunk) {
        for (int i = threadIdx.x; i < OUTPUTS * 9 * chunk; i += 256) {
            int o = first_output + i / (9 * chunk), tap = i / chunk % 9, c = base + i % chunk;
            taps[i] = o < O && c < C ? weight[((size_t)o * 9 + tap) * C + c] : 0.f;
        }
        for (int i = threadIdx.x; i < patch_side * patch_side * chunk / VECTOR; i += 256) {
            int at = i * VECTOR / chunk, c = base + i * VECTOR % chunk;
            int py = top + at / patch_side - 1, px = left + at % patch_side - 1;
            float mean[VECTOR] = {};
            if (0 <= py && py < H && 0 <= px && px < W && c < C) {
                // Two rows in flight: four would take more registers than two blocks have.
#pragma unroll 2
                for (int r = first_row; r < end_row; r++) {
                    float v[VECTOR];
                    load<H_T, VECTOR>(h + (((size_t)r * H + py) * W + px) * C + c, v);
#if AFFINE
                    float scale[VECTOR], shift[VECTOR];
                    load<float, VECTOR>(affine + (size_t)r * 2 * C + c, scale);
                    load<float, VECTOR>(affine + (size_t)r * 2 * C + C + c, shift);
#pragma unroll
                    for (int k = 0; k < VECTOR; k++) v[k] = fmaf(scale[k], v[k], shift[k]);
#endif
                    float part = weights[r];
#pragma unroll
                    for (int k = 0; k < VECTOR; k++) mean[k] = fmaf(part, activate<ACTIVATION>(v[k]), mean[k]);
                }
            }
            float* p = patch + i * VECTOR;
#if VECTOR == 8
            // Lanes four apart would meet in the same banks: they write their halves in opposite order.
            int swap = threadIdx.x & 4;
            *(float4*)(p + swap) = swap ? make_float4(mean[4], mean[5], mean[6], mean[7]) : make_float4(mean[0], mean[1], mean[2], mean[3]);
            *(float4*)(p + 4 - swap) = swap ? make_float4(mean[0], mean[1], mean[2], mean[3])
                : make_float4(mean[4], mean[5], mean[6], mean[7]);
#else
            store<float, VECTOR>(p, mean);
#endif
        }
        __syncthreads();
#pragma unroll
        for (int ky = 0; ky < 3; ky++) {
            float4 v[6];
#pragma unroll
            for (int j = 0; j < 6; j++) v[j] = *(const float4*)(patch + ((line + ky) * patch_side + column + j) * chunk + slice * 4);
#pragma unroll
            for (int kx = 0; kx < 3; kx++) {
#pragma unroll
                for (int o = 0; o < OUTPUTS; o++) {
                    float4 w = *(const float4*)(taps + (o * 9 + ky * 3 + kx) * chunk + slice * 4);
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        float4 p = v[j + kx];
                        sum[j][o] = fmaf(p.x, w.x, fmaf(p.y, w.y, fmaf(p.z, w.z, fmaf(p.w, w.w, sum[j][o]))));
                    }
                }
            }
        }
        __syncthreads();
    }

    // The sixteen lanes of four pixels add up, then lane j * OUTPUTS + o keeps output o of pixel j.
    float prediction = 0.f;
#pragma unroll
    for (int j = 0; j < 4; j++)
#pragma unroll
        for (int o = 0; o < OUTPUTS; o++) {
            float total = sum[j][o];
#pragma unroll
            for (int d = slices / 2; d > 0; d >>= 1) total += __shfl_xor_sync(full_warp, total, d);
            if (slice == j * OUTPUTS + o) prediction = total;
        }
    int o = first_output + slice % OUTPUTS, py = top + line, px = left + column + slice / OUTPUTS;
    if (slice >= 4 * OUTPUTS || o >= O || py >= H || px >= W) return;
    size_t at = (((size_t)n * H + py) * W + px) * O + o;
#if BIAS
    prediction += bias[o];
#endif
    DenoiseUpdate update(table, ROWS, step);
    float z = 0.f;
#if NOISE
    z = to_float(noise[at]);
#endif
    y[at] = from_float<Y_T>(update.next<CLIP>(to_float(x[at]), prediction, z));
}
#endif
