#include "multi_tensor.cuh"

#ifdef ADAM_STEP
// adam_step   Adam (Kingma and Ba 2015) for all parameters, and their exponential moving average:
//   g = gradient * min(1, max_norm / (norm + 1e-6)) where CLIP;  g += decay * p, or p -= rate * decay * p where DECOUPLED (AdamW)
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   p -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon), t = step + 1
//   average += share * (p - average)
// state, next [4, P], rows p, m, v, average; gradient [P]; norm [1] of gradient_norm, read where CLIP or LOSS_SCALE; rates [2]: rate,
// share; step [1]; loss_scale [3] of loss_scale_update, read where LOSS_SCALE: gradients are divided by its first, its third is taken from
// t, and where the norm is not finite next = state; pieces [gridDim.x].  log_beta = log(beta), rest = 1 - beta.  P is a multiple of 64.
// grid pieces, block 256 (at least 4 on a multiprocessor: left alone, the compiler spills to fit 6).  next '=', may be state; elements of
// no piece are left alone.  Deterministic.
extern "C" __global__ void __launch_bounds__(256, 4) adam_step(const float* state, const float* __restrict__ gradient,
    const float* __restrict__ norm, const float* __restrict__ rates, const int* __restrict__ step,
    const float* __restrict__ loss_scale, float* next,
    const Piece* __restrict__ pieces, int count_arg, float beta1, float rest1, float log_beta1, float beta2, float rest2, float log_beta2,
    float epsilon, float decay, float max_norm) {
    Piece piece = pieces[blockIdx.x];
    // 1 - beta^t, which a power would lose the first digits of: beta is close to 1.
    float t = (float)*step + 1.f, rate = rates[0], share = rates[1];
#if LOSS_SCALE
    t -= loss_scale[2];
#endif
    float size = rate / -expm1f(t * log_beta1), inverse_root = rsqrtf(-expm1f(t * log_beta2));
    float clip = 1.f;
#if CLIP
    // NaN gives NaN.
    clip = max_norm / (*norm + 1e-6f);
    clip = clip > 1.f ? 1.f : clip;
#endif
#if LOSS_SCALE
    clip /= loss_scale[0];
    bool skip = !(fabsf(*norm) < __int_as_float(0x7f800000));
#endif
    float shrink = DECOUPLED ? 1.f - rate * decay : 1.f;

    auto update = [&](float& p, float g, float& m, float& v, float& average) {
#if LOSS_SCALE
        if (skip) return;
#endif
        g *= clip;
        if (!DECOUPLED) g = fmaf(decay, p, g);
        m = fmaf(beta1, m, rest1 * g);
        v = fmaf(beta2, v, rest2 * g * g);
        p = p * shrink - size * m / fmaf(sqrtf(v), inverse_root, epsilon);
        average = fmaf(share, p - average, average);
    };
    const size_t first_row = COUNT, second_row = 2 * first_row, average_row = 3 * first_row;
#pragma unroll 1
    for (int j = 0; j < piece_elements / 1024; j++) {
        int i = j * 1024 + threadIdx.x * 4;
        size_t at = (size_t)piece.first + i;
        if (i + 4 <= piece.count) {
            float4 p = *(const float4*)(state + at), g = *(const float4*)(gradient + at);
            float4 m = *(const float4*)(state + first_row + at), v = *(const float4*)(state + second_row + at);
            float4 a = *(const float4*)(state + average_row + at);
            update(p.x, g.x, m.x, v.x, a.x);
            update(p.y, g.y, m.y, v.y, a.y);
            update(p.z, g.z, m.z, v.z, a.z);
            update(p.w, g.w, m.w, v.w, a.w);
            *(float4*)(next + at) = p;
            *(float4*)(next + first_row + at) = m;
            *(float4*)(next + second_row + at) = v;
            *(float4*)(next + average_row + at) = a;
        } else {
            for (int k = i; k < piece.count; k++) {
                at = (size_t)piece.first + k;
                float p = state[at], m = state[first_row + at], v = state[second_row + at], a = state[average_row + at];
                update(p, gradient[at], m, v, a);
                next[at] = p;
                next[first_row + at] = m;
                next[second_row + at] = v;
                next[average_row + at] = a;
            }
        }
    }
}
#endif
