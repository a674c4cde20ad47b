#include "common.cuh"

#ifdef LOSS_SCALE_UPDATE
// loss_scale_update   the scale of a loss for the next step: twice as large after `interval` steps in a row with a finite norm, unless
// that is infinite; half as large, and one more step skipped, where the norm is not finite.
// state, next [3]: scale, steps in a row, steps skipped; norm [1].  grid 1, block 1.  next '=', may be state.  Deterministic.
extern "C" __global__ void loss_scale_update(const float* state, const float* __restrict__ norm, float* next, int interval) {
    const float infinity = __int_as_float(0x7f800000);
    float scale = state[0], row = state[1], skipped = state[2];
    // NaN is not below either.
    if (!(fabsf(*norm) < infinity)) {
        scale *= 0.5f;
        row = 0.f;
        skipped += 1.f;
    } else {
        row += 1.f;
        if (row >= (float)interval) {
            if (2.f * scale < infinity) scale *= 2.f;
            row = 0.f;
        }
    }
    next[0] = scale;
    next[1] = row;
    next[2] = skipped;
}
#endif
