#include "philox.cuh"

#ifdef RANDOM_NORMAL_FORWARD
// random_normal_forward   y[i] = element first * ROW + i of step `step` of the stream: see philox.cuh.
// step [1]; first [1], or null for row 0; y [COUNT], ROW elements in each row.  grid ceil(COUNT / 1024), or ceil((COUNT + 3) / 1024) with a
// first row; block 256: four elements of one counter for each thread.  y '='.  Deterministic.
extern "C" __global__ void random_normal_forward(const int* __restrict__ step, const int* __restrict__ first, float* __restrict__ y,
    unsigned seed, unsigned stream, int row_arg, int count_arg) {
    u64 start = first ? (u64)*first * ROW : 0;
    int before = (int)(start & 3);  // elements of y[0]'s counter that belong to the row before
    int block = blockIdx.x * 256 + threadIdx.x, i = 4 * block - before;
    if (i >= COUNT) return;
    float4 v = philox_normal(start / 4 + block, *step, seed, stream);
    if (before == 0 && i + 4 <= COUNT) {
        *(float4*)(y + i) = v;
        return;
    }
    float four[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int k = 0; k < 4; k++)
        if (i + k >= 0 && i + k < COUNT) y[i + k] = four[k];
}
#endif
