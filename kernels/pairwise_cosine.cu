// Alikeness of the latents z_f [D] of an image's FACTORS: u_f = z_f / max(|z_f|, epsilon).
#include "common.cuh"

constexpr int threads = 256, warps = threads / 32;
constexpr float epsilon = 1e-12f;

// A warp's sum of squares of a latent, the root of it.
__device__ __forceinline__ float length_of(const float* z, int d) {
    float sum = 0.f;
    for (int c = threadIdx.x & 31; c < d; c += 32) sum = fmaf(z[c], z[c], sum);
    return sqrtf(warp_sum(sum));
}

// NaN stays NaN.
__device__ __forceinline__ float inverse_of(float length) { return 1.f / (length < epsilon ? epsilon : length); }

#ifdef PAIRWISE_COSINE_FORWARD
// pairwise_cosine_forward   loss = mean over images and pairs (i, j) of u_i . u_j - [i = j].
// latents [IMAGES, FACTORS * D]; loss [1].  grid 1, block 256: a few thousand numbers.  Shared memory 4 * FACTORS + 32 bytes.
// loss '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) pairwise_cosine_forward(const float* __restrict__ latents, float* loss,
    int images_arg, int factors_arg, int d_arg) {
    extern __shared__ float inverse[];
    __shared__ float shared[warps];
    int warp = threadIdx.x / 32;
    float total = 0.f;
    for (int n = 0; n < IMAGES; n++) {
        const float* z = latents + (size_t)n * FACTORS * D;
        for (int f = warp; f < FACTORS; f += warps) {
            float length = length_of(z + f * D, D);
            if ((threadIdx.x & 31) == 0) {
                inverse[f] = inverse_of(length);
                // u . u is 1, but of a latent too short to have a direction.
                if (length < epsilon) total += length / epsilon * (length / epsilon) - 1.f;
            }
        }
        __syncthreads();
        // Twice the products with those before: what is alike is not added to be subtracted again.
        for (int c = threadIdx.x; c < D; c += threads) {
            float sum = 0.f, products = 0.f;
            for (int f = 0; f < FACTORS; f++) {
                float u = z[f * D + c] * inverse[f];
                products = fmaf(u, sum, products);
                sum += u;
            }
            total = fmaf(2.f, products, total);
        }
        __syncthreads();
    }
    total = block_sum(total, shared);
    if (threadIdx.x == 0) *loss = total / ((float)IMAGES * FACTORS * FACTORS);
}
#endif

#ifdef PAIRWISE_COSINE_GRAD
// pairwise_cosine_grad   dz_f = (du - u_f (u_f . du)) / |z_f|, du = 2 dloss / (IMAGES FACTORS^2) * sum over factors of u.
// latents, gradient [IMAGES, FACTORS * D]; dloss [1].  grid IMAGES, block 256.  Shared memory 4 * (FACTORS + D) bytes.
// gradient '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) pairwise_cosine_grad(const float* __restrict__ latents, const float* __restrict__ dloss,
    float* __restrict__ gradient, int images_arg, int factors_arg, int d_arg) {
    extern __shared__ float inverse[];
    float* du = inverse + FACTORS;
    int warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    const float* z = latents + (size_t)blockIdx.x * FACTORS * D;
    float* dz = gradient + (size_t)blockIdx.x * FACTORS * D;
    for (int f = warp; f < FACTORS; f += warps) {
        float length = length_of(z + f * D, D);
        if (lane == 0) inverse[f] = inverse_of(length);
    }
    __syncthreads();
    float scale = 2.f * *dloss / ((float)IMAGES * FACTORS * FACTORS);
    for (int c = threadIdx.x; c < D; c += threads) {
        float sum = 0.f;
        for (int f = 0; f < FACTORS; f++) sum = fmaf(z[f * D + c], inverse[f], sum);
        du[c] = scale * sum;
    }
    __syncthreads();
    for (int f = warp; f < FACTORS; f += warps) {
        float along = 0.f, factor = inverse[f];
        for (int c = lane; c < D; c += 32) along = fmaf(du[c], z[f * D + c] * factor, along);
        along = warp_sum(along);
        // Below the least length the division is by a constant.
        if (factor >= 1.f / epsilon) along = 0.f;
        for (int c = lane; c < D; c += 32) dz[f * D + c] = (du[c] - along * (z[f * D + c] * factor)) * factor;
    }
}
#endif
