#include "common.cuh"

// pool2d_forward   y[n, oh, ow, c] = max or mean of x[n, h, w, c] over the window h in [oh S - P, oh S - P + K), w alike, as
// far as it is inside the image.  NaN in the window gives NaN.
// x [N, H, W, C]; y [COUNT] = [N, OH, OW, C].  KERNEL K, STRIDE S, PADDING P; MAX: the greatest, else the mean.
// grid ceil(COUNT / (256 * VECTOR)), block 256: a thread for each vector of y, which reads its window.  y '='.  Deterministic.
extern "C" __global__ void pool2d_forward(const X_T* __restrict__ x, Y_T* __restrict__ y,
    int count_arg, int h_arg, int w_arg, int oh_arg, int ow_arg, int c_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    int pixel = i / C, c = i - pixel * C;
    int row = pixel / OW, column = pixel - row * OW;
    int n = row / OH, line = row - n * OH;
    int top = line * STRIDE - PADDING, left = column * STRIDE - PADDING;
    int bottom = min(top + KERNEL, H), right = min(left + KERNEL, W);
    top = max(top, 0);
    left = max(left, 0);
    float pooled[VECTOR];
#pragma unroll
    for (int k = 0; k < VECTOR; k++) pooled[k] = MAX ? __int_as_float(0xff800000) : 0.0f;
    for (int h = top; h < bottom; h++) {
        for (int w = left; w < right; w++) {
            float v[VECTOR];
            load<X_T, VECTOR>(x + (((size_t)n * H + h) * W + w) * C + c, v);
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                if (MAX) pooled[k] = v[k] > pooled[k] || v[k] != v[k] ? v[k] : pooled[k];
                else pooled[k] += v[k];
            }
        }
    }
    if (!MAX) {
        float count = (float)((bottom - top) * (right - left));
#pragma unroll
        for (int k = 0; k < VECTOR; k++) pooled[k] /= count;
    }
    store<Y_T, VECTOR>(y + i, pooled);
}
