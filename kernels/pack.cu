#include "common.cuh"

#ifdef PACK_FORWARD
// A part of a tensor and where it goes: count <= 4096.
struct Move {
    const X_T* source;
    X_T* destination;
    u64 count;
};

// pack_forward   destination[i] = source[i] for the parts of any number of tensors, on any boundaries.
// moves [gridDim.x].  grid moves, block 256.  destination '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) pack_forward(const Move* __restrict__ moves) {
    Move move = moves[blockIdx.x];
#pragma unroll 4
    for (int i = threadIdx.x; i < (int)move.count; i += 256) move.destination[i] = move.source[i];
}
#endif
