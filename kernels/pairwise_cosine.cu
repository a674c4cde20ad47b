// How alike the VECTORS z_i [D] of a row are: u_i = z_i / max(|z_i|, epsilon).
#include "common.cuh"

constexpr int threads = 256, warps = threads / 32;
constexpr float epsilon = 1e-12f;

// A warp's sum of squares of a vector, the root of it.
__device__ __forceinline__ float length_of(const float* z, int d) {
    float sum = 0.f;
    for (int c = threadIdx.x & 31; c < d; c += 32) sum = fmaf(z[c], z[c], sum);
    return sqrtf(warp_sum(sum));
}

// NaN stays NaN.
__device__ __forceinline__ float inverse_of(float length) { return 1.f / (length < epsilon ? epsilon : length); }

#ifdef PAIRWISE_COSINE_FORWARD
// pairwise_cosine_forward   loss = mean over rows and pairs (i, j) of u_i . u_j - [i = j].
// x [ROWS, VECTORS * D]; loss [1].  grid 1, block 256: a few thousand numbers.  Shared memory 4 * VECTORS + 32 bytes.
// loss '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) pairwise_cosine_forward(const float* __restrict__ x, float* loss,
    int rows_arg, int vectors_arg, int d_arg) {
    extern __shared__ float inverse[];
    __shared__ float shared[warps];
    int warp = threadIdx.x / 32;
    float total = 0.f;
    for (int n = 0; n < ROWS; n++) {
        const float* z = x + (size_t)n * VECTORS * D;
        for (int i = warp; i < VECTORS; i += warps) {
            float length = length_of(z + i * D, D);
            if ((threadIdx.x & 31) == 0) {
                inverse[i] = inverse_of(length);
                // u . u is 1, but of a vector too short to have a direction.
                if (length < epsilon) total += length / epsilon * (length / epsilon) - 1.f;
            }
        }
        __syncthreads();
        // Twice the products with those before: what is alike is not added to be subtracted again.
        for (int c = threadIdx.x; c < D; c += threads) {
            float sum = 0.f, products = 0.f;
            for (int i = 0; i < VECTORS; i++) {
                float u = z[i * D + c] * inverse[i];
                products = fmaf(u, sum, products);
                sum += u;
            }
            total = fmaf(2.f, products, total);
        }
        __syncthreads();
    }
    total = block_sum(total, shared);
    if (threadIdx.x == 0) *loss = total / ((float)ROWS * VECTORS * VECTORS);
}
#endif

#ifdef PAIRWISE_COSINE_GRAD
// pairwise_cosine_grad   dz_i = (du - u_i (u_i . du)) / |z_i|, du = 2 dloss / (ROWS VECTORS^2) * sum over vectors of u.
// x, gradient [ROWS, VECTORS * D]; dloss [1].  grid ROWS, block 256.  Shared memory 4 * (VECTORS + D) bytes.
// gradient '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(256) pairwise_cosine_grad(const float* __restrict__ x, const float* __restrict__ dloss,
    float* __restrict__ gradient, int rows_arg, int vectors_arg, int d_arg) {
    extern __shared__ float inverse[];
    float* du = inverse + VECTORS;
    int warp = threadIdx.x / 32, lane = threadIdx.x & 31;
    const float* z = x + (size_t)blockIdx.x * VECTORS * D;
    float* dz = gradient + (size_t)blockIdx.x * VECTORS * D;
    for (int i = warp; i < VECTORS; i += warps) {
        float length = length_of(z + i * D, D);
        if (lane == 0) inverse[i] = inverse_of(length);
    }
    __syncthreads();
    float scale = 2.f * *dloss / ((float)ROWS * VECTORS * VECTORS);
    for (int c = threadIdx.x; c < D; c += threads) {
        float sum = 0.f;
        for (int i = 0; i < VECTORS; i++) sum = fmaf(z[i * D + c], inverse[i], sum);
        du[c] = scale * sum;
    }
    __syncthreads();
    for (int i = warp; i < VECTORS; i += warps) {
        float along = 0.f, scaled = inverse[i];
        for (int c = lane; c < D; c += 32) along = fmaf(du[c], z[i * D + c] * scaled, along);
        along = warp_sum(along);
        // Below the least length the division is by a constant.
        if (scaled >= 1.f / epsilon) along = 0.f;
        for (int c = lane; c < D; c += 32) dz[i * D + c] = (du[c] - along * (z[i * D + c] * scaled)) * scaled;
    }
}
#endif
