#include "common.cuh"

#ifdef AVG_POOL2D_FORWARD
// avg_pool2d_forward   y[n, h, w, c] = mean over 2 x 2 of activation(scale[n, c] * x[n, 2h + i, 2w + j, c] + shift[n, c]).
// x [N, H, W, C]; affine [N, 2, C], read where AFFINE; y [COUNT] = [N, H / 2, W / 2, C]: an odd last row or column is dropped.
// PLAIN: also plain = mean over 2 x 2 of x, from the same reads.
// grid ceil(COUNT / (256 * VECTOR)), block 256.  y, plain '='.  Deterministic.
extern "C" __global__ void avg_pool2d_forward(const X_T* __restrict__ x, const float* __restrict__ affine, Y_T* __restrict__ y,
    PLAIN_T* __restrict__ plain, int count_arg, int h_arg, int w_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / C, c = i - pixel * C;
    int row = pixel / (W / 2), column = pixel - row * (W / 2);
    int n = row / (H / 2), line = row - n * (H / 2);
    const X_T* p = x + (((size_t)n * H + 2 * line) * W + 2 * column) * C + c;
    float v[4][VECTOR];
    load<X_T, VECTOR>(p, v[0]);
    load<X_T, VECTOR>(p + C, v[1]);
    load<X_T, VECTOR>(p + (size_t)W * C, v[2]);
    load<X_T, VECTOR>(p + (size_t)W * C + C, v[3]);
#if PLAIN
    float mean[VECTOR];
#pragma unroll
    for (int k = 0; k < VECTOR; k++) mean[k] = 0.25f * ((v[0][k] + v[1][k]) + (v[2][k] + v[3][k]));
    store<PLAIN_T, VECTOR>(plain + i, mean);
#endif
#if AFFINE
    float scale[VECTOR], shift[VECTOR];
    load<float, VECTOR>(affine + (size_t)n * 2 * C + c, scale);
    load<float, VECTOR>(affine + (size_t)n * 2 * C + C + c, shift);
#pragma unroll
    for (int t = 0; t < 4; t++)
#pragma unroll
        for (int k = 0; k < VECTOR; k++) v[t][k] = fmaf(scale[k], v[t][k], shift[k]);
#endif
#pragma unroll
    for (int t = 0; t < 4; t++)
#pragma unroll
        for (int k = 0; k < VECTOR; k++) v[t][k] = activate<ACTIVATION>(v[t][k]);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[0][k] = 0.25f * ((v[0][k] + v[1][k]) + (v[2][k] + v[3][k]));
    store<Y_T, VECTOR>(y + i, v[0]);
}
#endif

#ifdef AVG_POOL2D_GRAD_INPUT
// avg_pool2d_grad_input   dx[n, h, w, c] = dy[n, h / 2, w / 2, c] / 4, 0 in an odd last row or column.
// dy [N, H / 2, W / 2, C]; dx [COUNT] = [N, H, W, C].  grid ceil(COUNT / (256 * VECTOR)), block 256: one vector of dx for each
// thread, so that the odd ends are written too.  dx '='.  Deterministic.
extern "C" __global__ void avg_pool2d_grad_input(
    const DY_T* __restrict__ dy, DX_T* __restrict__ dx, int count_arg, int h_arg, int w_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / C, c = i - pixel * C;
    int row = pixel / W, column = (pixel - row * W) / 2;
    int n = row / H, line = (row - n * H) / 2;
    float v[VECTOR] = {};
    if (line < H / 2 && column < W / 2) load<DY_T, VECTOR>(dy + (((size_t)n * (H / 2) + line) * (W / 2) + column) * C + c, v);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[k] *= 0.25f;
    store<DX_T, VECTOR>(dx + i, v);
}
#endif
