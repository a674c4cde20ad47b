#include "philox.cuh"

#ifdef DROPOUT_FORWARD
// dropout_forward   y[i] = x[i] / (1 - rate) where word i of step `step` is at least `threshold`, else 0.
// Word i is word i % 4 of the Philox block at counter (first + i / 4, step, 0), the first of 64 bits, under key (seed, stream).
// x, y [COUNT]; step [1]; threshold rate * 2^32; factor 1 / (1 - rate).  VECTOR is 4 or less and divides COUNT.
// grid ceil(COUNT / (256 * VECTOR)), block 256.  y '=', may be x.  Deterministic.
extern "C" __global__ void dropout_forward(const X_T* x, const int* __restrict__ step, Y_T* y, unsigned threshold, float factor,
    unsigned seed, unsigned stream, u64 first, int count_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    u64 block = first + i / 4;
    uint4 words = philox(make_uint4((u32)block, (u32)(block >> 32), *step, 0), seed, stream);
    u32 word[4] = {words.x, words.y, words.z, words.w};
    float v[VECTOR];
    load<X_T, VECTOR>(x + i, v);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) {
        u32 w = word[k];
        // Narrower vectors begin within a block of four words.
        if constexpr (VECTOR < 4) w = i % 4 + k == 0 ? words.x : i % 4 + k == 1 ? words.y : i % 4 + k == 2 ? words.z : words.w;
        v[k] = w >= threshold ? v[k] * factor : 0.f;
    }
    store<Y_T, VECTOR>(y + i, v);
}
#endif
