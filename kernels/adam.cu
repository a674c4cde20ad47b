#include "multi_tensor.cuh"

#ifdef ADAM_STEP

// Addresses of a parameter and what belongs to it, float32 on 16-byte boundaries.
struct Tensor {
    float* parameter;
    const float* gradient;
    float* first;
    float* second;
    float* average;
};

// adam_step   Adam (Kingma and Ba 2015) for all parameters, and their exponential moving average:
//   g = gradient * min(1, max_norm / (norm + 1e-6)) where CLIP;  g += decay * p, or p -= rate * decay * p where DECOUPLED (AdamW)
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   p -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon), t = step + 1
//   average = (1 - share) * average + share * p where AVERAGE
// tensors; pieces [gridDim.x]; rates [2]: rate, share; norm [1] of gradient_norm, read where CLIP; step [1].
// log_beta = log(beta), rest = 1 - beta.
// grid pieces, block 256.  parameter, first, second, average '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) adam_step(const Tensor* __restrict__ tensors, const Piece* __restrict__ pieces,
    const float* __restrict__ rates, const float* __restrict__ norm, const int* __restrict__ step, float beta1, float rest1, float log_beta1,
    float beta2, float rest2, float log_beta2, float epsilon, float decay, float max_norm) {
    Piece piece = pieces[blockIdx.x];
    Tensor tensor = tensors[piece.tensor];
    // 1 - beta^t, which a power would lose the first digits of: beta is close to 1.
    float t = (float)*step + 1.f, rate = rates[0], share = rates[1];
    float size = rate / -expm1f(t * log_beta1), inverse_root = rsqrtf(-expm1f(t * log_beta2));
    float clip = 1.f;
#if CLIP
    // NaN gives NaN.
    clip = max_norm / (*norm + 1e-6f);
    clip = clip > 1.f ? 1.f : clip;
#endif
    float shrink = DECOUPLED ? 1.f - rate * decay : 1.f;

    auto update = [&](float& p, float g, float& m, float& v, float& average) {
        g *= clip;
        if (!DECOUPLED) g = fmaf(decay, p, g);
        m = fmaf(beta1, m, rest1 * g);
        v = fmaf(beta2, v, rest2 * g * g);
        p = p * shrink - size * m / fmaf(sqrtf(v), inverse_root, epsilon);
        average = fmaf(share, p, (1.f - share) * average);
    };
#pragma unroll 1
    for (int j = 0; j < piece_elements / 1024; j++) {
        int i = j * 1024 + threadIdx.x * 4;
        size_t at = (size_t)piece.first + i;
        if (i + 4 <= piece.count) {
            float4 p = *(float4*)(tensor.parameter + at), g = *(const float4*)(tensor.gradient + at);
            float4 m = *(float4*)(tensor.first + at), v = *(float4*)(tensor.second + at), a = make_float4(0.f, 0.f, 0.f, 0.f);
            if (AVERAGE) a = *(float4*)(tensor.average + at);
            update(p.x, g.x, m.x, v.x, a.x);
            update(p.y, g.y, m.y, v.y, a.y);
            update(p.z, g.z, m.z, v.z, a.z);
            update(p.w, g.w, m.w, v.w, a.w);
            *(float4*)(tensor.parameter + at) = p;
            *(float4*)(tensor.first + at) = m;
            *(float4*)(tensor.second + at) = v;
            if (AVERAGE) *(float4*)(tensor.average + at) = a;
        } else {
            for (int k = i; k < piece.count; k++) {
                at = (size_t)piece.first + k;
                float p = tensor.parameter[at], m = tensor.first[at], v = tensor.second[at], a = AVERAGE ? tensor.average[at] : 0.f;
                update(p, tensor.gradient[at], m, v, a);
                tensor.parameter[at] = p;
                tensor.first[at] = m;
                tensor.second[at] = v;
                if (AVERAGE) tensor.average[at] = a;
            }
        }
    }
}
#endif
