#include "sin_cos.cuh"

#ifdef TIMESTEP_EMBEDDING_FORWARD
// timestep_embedding_forward   y[m] = (cos(t[m] f), sin(t[m] f), 0 if D is odd) for the D / 2 frequencies f.
// t [M]; frequencies [D / 2], rounded to float32 as the phase t f is; y [COUNT] = [M, D].
// grid ceil(COUNT / 256), block 256.  y '='.  Deterministic.  |t f| < 1e5 for full accuracy.
extern "C" __global__ void timestep_embedding_forward(
    const float* __restrict__ t, const float* __restrict__ frequencies, float* __restrict__ y, int count_arg, int d_arg) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= COUNT) return;
    int m = i / D, column = i - m * D;
    if (column == D / 2 * 2) {
        y[i] = 0.f;
        return;
    }
    bool is_sine = column >= D / 2;
    float sine, cosine;
    sin_cos(t[m] * frequencies[is_sine ? column - D / 2 : column], sine, cosine);
    y[i] = is_sine ? sine : cosine;
}
#endif
