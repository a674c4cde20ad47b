namespace RawDiffusion.Cuda.Emulator.Tests;

/// <summary>What NVRTC emits, executed.</summary>
public class CompiledKernelTests
{
    [Test]
    public void A_block_reduction_with_shuffles_and_shared_memory_adds_up()
    {
        using var gpu = EmulatedGpu.Compile("""
            extern "C" __global__ void sum(const float* x, float* out, int n) {
                __shared__ float partial[8];
                float v = 0;
                for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) v += x[i];
                for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
                if ((threadIdx.x & 31) == 0) partial[threadIdx.x >> 5] = v;
                __syncthreads();
                if (threadIdx.x == 0) { v = 0; for (int i = 0; i < 8; i++) v += partial[i]; atomicAdd(out, v); }
            }
            """, new());
        float[] x = Ptx.Repeat(10_000, i => (float)(i % 17));
        ulong result = gpu.Upload(0f);

        gpu.Launch("sum", new(3, 256), gpu.Upload(x), result, x.Length);

        Assert.That(gpu.Download<float>(result, 1)[0], Is.EqualTo(x.Sum()));
    }

    [Test]
    public void A_matrix_product_through_cp_async_ldmatrix_and_mma_is_exact_on_small_integers()
    {
        using var gpu = EmulatedGpu.Compile("""
            typedef unsigned int u32;
            __device__ u32 shared_address(const void* p) {
                u32 r;
                asm("{ .reg .u64 t; cvta.to.shared.u64 t, %1; cvt.u32.u64 %0, t; }" : "=r"(r) : "l"(p));
                return r;
            }
            // A [16,16] row-major, B [16,8] row-major, bf16; C [16,8] float.
            extern "C" __global__ void product(const uint4* a, const uint4* b, float* c) {
                __shared__ __align__(16) unsigned short sa[16 * 16];
                __shared__ __align__(16) unsigned short sb[16 * 8];
                int t = threadIdx.x;
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(shared_address(sa + t * 8)), "l"(a + t));
                if (t < 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                    :: "r"(shared_address(sb + t * 8)), "l"(b + t), "r"(16));
                asm volatile("cp.async.commit_group;\n cp.async.wait_group 0;\n" ::: "memory");
                __syncthreads();
                u32 a0, a1, a2, a3, b0, b1;
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                    : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3) : "r"(shared_address(sa + (t & 15) * 16 + (t >> 4) * 8)));
                asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                    : "=r"(b0), "=r"(b1) : "r"(shared_address(sb + (t & 15) * 8)));
                float d[4] = {0, 0, 0, 0};
                asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                    : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
                int g = t >> 2, q = t & 3;
                c[g * 8 + q * 2] = d[0]; c[g * 8 + q * 2 + 1] = d[1]; c[(g + 8) * 8 + q * 2] = d[2]; c[(g + 8) * 8 + q * 2 + 1] = d[3];
            }
            """);
        ushort[] a = Ptx.Repeat(256, i => Bf16((i * 7 % 13) - 6)), b = Ptx.Repeat(128, i => Bf16((i * 5 % 11) - 5));
        ulong result = gpu.Allocate<float>(128);

        gpu.Launch("product", new(1, 32), gpu.Upload(a), gpu.Upload(b), result);

        float[] expected = Ptx.Repeat(128, i => Enumerable.Range(0, 16).Sum(k => Float(a[(i / 8 * 16) + k]) * Float(b[(k * 8) + (i % 8)])));
        Assert.That(gpu.Findings, Is.Empty);
        Assert.That(gpu.Download<float>(result, 128), Is.EqualTo(expected));
    }

    private static ushort Bf16(float value) => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);

    private static float Float(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);
}
