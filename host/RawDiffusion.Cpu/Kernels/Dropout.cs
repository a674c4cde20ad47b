using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Drops what the current step's Philox words say, and scales the rest.</summary>
internal sealed unsafe class DropoutKernel : CpuKernel<Dropout>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V>(Node node, CpuContext context) : ElementwiseLaunch("dropout", node.Output.Shape.Count)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly Dropout op = (Dropout)node.Operator;
        private readonly float kept = (float)(1 / (1 - (double)((Dropout)node.Operator).Rate));
        private readonly float* x = context.Pointer(node.Input(Dropout.X));
        private readonly int* step = (int*)context.Pointer(node.Input(Dropout.Step));
        private readonly float* y = context.Pointer(node.Output);

        protected override void Run(long first, int length)
        {
            float* from = x + first, to = y + first;
            long block = (op.First + first) / 4;
            int done = S.Lanes >= 8 && Avx2.IsSupported ? DropoutVectors.Apply(from, to, length, (ulong)block, (uint)*step, op, kept) : 0;
            for (int i = done; i < length; i++)
            {
                long at = block + i / 4;
                (uint a, uint b, uint c, uint d) = Philox.Block((uint)at, (uint)(at >> 32), (uint)*step, 0, op.Seed, op.Stream);
                uint threshold = op.Threshold;
                to[i] = a < threshold ? 0 : from[i] * kept;
                if (++i < length) to[i] = b < threshold ? 0 : from[i] * kept;
                if (++i < length) to[i] = c < threshold ? 0 : from[i] * kept;
                if (++i < length) to[i] = d < threshold ? 0 : from[i] * kept;
            }
        }
    }
}

/// <summary>
/// Dropout with a <see cref="Philox"/> block in each 64-bit lane of a vector: a word is the low half of its lane, and what multiplications
/// leave in the high half is not read. The lanes' blocks are ordered so that unpacking brings the words of four elements side by side.
/// </summary>
internal static unsafe class DropoutVectors
{
    private const uint Multiplier0 = 0xD2511F53, Multiplier1 = 0xCD9E8D57, Weyl0 = 0x9E3779B9, Weyl1 = 0xBB67AE85;

    /// <summary>Processes elements in groups of 16; returns how many.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static int Apply(float* x, float* y, int length, ulong block, uint step, Dropout op, float kept)
    {
        Vector256<ulong> order = Vector256.Create(0UL, 2, 1, 3), low = Vector256.Create(0xffffffffUL);
        Vector256<uint> m0 = Vector256.Create((ulong)Multiplier0).AsUInt32(), m1 = Vector256.Create((ulong)Multiplier1)
            .AsUInt32(), threshold = Vector256.Create(op.Threshold);
        Vector256<ulong> w0 = Vector256.Create((ulong)Weyl0), w1 = Vector256.Create((ulong)Weyl1);
        var factor = Vector256.Create(kept);
        int i = 0;
        for (; i <= length - 16; i += 16, block += 4)
        {
            Vector256<ulong> c0 = Vector256.Create(block) + order, c1 = c0 >>> 32, c2 = Vector256.Create(
                (ulong)step), c3 = Vector256<ulong>.Zero;
            Vector256<ulong> k0 = Vector256.Create((ulong)op.Seed), k1 = Vector256.Create((ulong)op.Stream);
            for (int round = 0; round < 10; round++, k0 += w0, k1 += w1)
            {
                Vector256<ulong> p0 = Avx2.Multiply(c0.AsUInt32(), m0), p1 = Avx2.Multiply(c2.AsUInt32(), m1);
                (c0, c1, c2, c3) = ((p1 >>> 32) ^ c1 ^ k0, p1, (p0 >>> 32) ^ c3 ^ k1, p0);
            }
            Vector256<ulong> first = c0 & low | c1 << 32, second = c2 & low | c3 << 32;
            Store(Avx2.UnpackLow(first, second), i);
            Store(Avx2.UnpackHigh(first, second), i + 8);
        }
        return i;

        void Store(Vector256<ulong> words, int at) =>
            ((Vector256.Load(x + at) * factor).AsUInt32() & Vector256.GreaterThanOrEqual(words.AsUInt32(), threshold)).AsSingle()
            .Store(y + at);
    }
}
