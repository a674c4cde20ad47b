#include "common.cuh"

#ifdef NEXT_STEP_FORWARD
// next_step_forward   next = step + 1.
// step, next [1].  grid 1, block 1.  next '=', may be step.  Deterministic.
extern "C" __global__ void next_step_forward(const int* step, int* next) { *next = *step + 1; }
#endif
