// Kernels whose resources CubinInfoTests knows from ptxas -v and nvdisasm.
typedef unsigned int u32;

extern "C" __global__ void simple(const float* x, float* y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * 2.f + __expf(x[i]);
}

extern "C" __global__ void __launch_bounds__(256) shared_sum(const float* x, float* y, float* z, u32* counter)
{
    __shared__ float s[256];
    __shared__ float t[8];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    float v = s[threadIdx.x ^ 1];
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
    if (threadIdx.x % 32 == 0) t[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x == 0)
    {
        float sum = 0;
        for (int i = 0; i < 8; i++) sum += t[i];
        y[0] = sum;
        atomicAdd(z, sum);
        if (atomicAdd(counter, 1u) == 3u) z[1] = 1;
    }
}

extern "C" __global__ void tensor(const u32* b, float* d, const char* g)
{
    __shared__ __align__(16) char s[4096];
    u32 place = (u32)__cvta_generic_to_shared(s) + threadIdx.x * 16;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(place), "l"(g + threadIdx.x * 16));
    asm volatile("cp.async.commit_group; cp.async.wait_group 0;");
    __syncthreads();
    u32 a0, a1, a2, a3;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3) : "r"(place));
    float c0 = 0, c1 = 0, c2 = 0, c3 = 0;
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b[threadIdx.x]), "r"(b[threadIdx.x + 32]));
    ((float4*)d)[threadIdx.x] = make_float4(c0, c1, c2, c3);
    asm volatile("bar.sync 2, 64;");
}

extern "C" __global__ void __launch_bounds__(1024) spill(const float* x, float* y)
{
    float v[96];
#pragma unroll
    for (int i = 0; i < 96; i++) v[i] = x[threadIdx.x + i * 1024];
    __syncthreads();
#pragma unroll
    for (int j = 0; j < 2; j++)
    {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < 96; i++) sum += v[i] * v[(i * 7 + j) % 96];
        y[threadIdx.x + j * 1024] = sum;
    }
}

extern "C" __global__ void local_array(const float* x, float* y, int k)
{
    float a[32];
    for (int i = 0; i < 32; i++) a[i] = x[i + threadIdx.x];
    for (int i = 0; i < k; i++) a[(i * k) & 31] += a[(i + k) & 31];
    y[threadIdx.x] = a[k & 31];
}
