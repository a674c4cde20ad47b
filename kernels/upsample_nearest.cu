#include "common.cuh"

#ifdef UPSAMPLE_NEAREST_FORWARD
// upsample_nearest_forward   y[n, h, w, c] = x[n, h / 2, w / 2, c].
// x [COUNT] = [N, H, W, C]; y [N, 2H, 2W, C].  grid ceil(COUNT / (256 * VECTOR)), block 256: a thread reads its
// vector once and writes it four times.  y '='.  Deterministic.
extern "C" __global__ void upsample_nearest_forward(const X_T* __restrict__ x, Y_T* __restrict__ y, int count_arg, int w_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float v[VECTOR];
    load<X_T, VECTOR>(x + i, v);
    int pixel = i / C, c = i - pixel * C;
    int row = pixel / W, column = pixel - row * W;
    Y_T* p = y + ((size_t)row * 4 * W + 2 * column) * C + c;
    store_copy<Y_T, VECTOR>(p, v);
    store_copy<Y_T, VECTOR>(p + C, v);
    store_copy<Y_T, VECTOR>(p + (size_t)2 * W * C, v);
    store_copy<Y_T, VECTOR>(p + (size_t)2 * W * C + C, v);
}
#endif

#ifdef UPSAMPLE_NEAREST_GRAD_INPUT
// upsample_nearest_grad_input   dx[n, h, w, c] = sum over i, j in {0, 1} of dy[n, 2h + i, 2w + j, c].
// dy [N, 2H, 2W, C]; dx [COUNT] = [N, H, W, C].  grid ceil(COUNT / (256 * VECTOR)), block 256.  dx '='.  Deterministic.
extern "C" __global__ void upsample_nearest_grad_input(
    const DY_T* __restrict__ dy, DX_T* __restrict__ dx, int count_arg, int w_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / C, c = i - pixel * C;
    int row = pixel / W, column = pixel - row * W;
    const DY_T* p = dy + ((size_t)row * 4 * W + 2 * column) * C + c;
    float v[4][VECTOR];
    load<DY_T, VECTOR>(p, v[0]);
    load<DY_T, VECTOR>(p + C, v[1]);
    load<DY_T, VECTOR>(p + (size_t)2 * W * C, v[2]);
    load<DY_T, VECTOR>(p + (size_t)2 * W * C + C, v[3]);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) v[0][k] = (v[0][k] + v[1][k]) + (v[2][k] + v[3][k]);
    store<DX_T, VECTOR>(dx + i, v[0]);
}
#endif
