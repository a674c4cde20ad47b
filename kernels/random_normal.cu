#include "philox.cuh"

#ifdef RANDOM_NORMAL_FORWARD
// random_normal_forward   y[i] = element i of step `step` of the stream: see philox.cuh.
// step [1], y [COUNT].  grid ceil(COUNT / 1024), block 256: four elements of one counter for each thread.  y '='.  Deterministic.
extern "C" __global__ void random_normal_forward(
    const int* __restrict__ step, float* __restrict__ y, unsigned seed, unsigned stream, int count_arg) {
    int block = blockIdx.x * 256 + threadIdx.x, i = 4 * block;
    if (i >= COUNT) return;
    float4 v = philox_normal(block, *step, seed, stream);
    if (i + 4 <= COUNT) {
        *(float4*)(y + i) = v;
        return;
    }
    y[i] = v.x;
    if (i + 1 < COUNT) y[i + 1] = v.y;
    if (i + 2 < COUNT) y[i + 2] = v.z;
}
#endif
