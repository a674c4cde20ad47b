using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Attention by tiles with an online softmax: a block of queries meets the keys block by block, keeping for each query
/// the running maximum, the sum of exponentials and the unnormalised output. Scores never leave the cache. One task for
/// each image and head.
/// </summary>
internal sealed unsafe class AttentionKernel : CpuKernel<Attention>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V> : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        // 24 x 256 scores are 24 KiB: half of a first-level cache.
        private const int QueryBlock = 24;
        private const int KeyBlock = 256;

        private readonly int heads;
        private readonly int images;
        private readonly int positions;
        private readonly int channels;
        private readonly int headChannels;
        private readonly int sumStride;
        private readonly int scoreStride;
        private readonly float* qkv;
        private readonly float* output;

        public Launch(Node node, CpuContext context)
        {
            heads = ((Attention)node.Operator).Heads;
            images = node.Output.Shape[0];
            positions = node.Output.Shape[1] * node.Output.Shape[2];
            channels = node.Output.Shape[3];
            headChannels = channels / heads;
            sumStride = PackedMatrix.Panels(headChannels, Columns) * Columns;
            scoreStride = PackedMatrix.Panels(Math.Min(KeyBlock, positions), Columns) * Columns;
            qkv = context.Pointer(node.Input(Attention.Qkv));
            output = context.Pointer(node.Output);
        }

        public override string Description => "attention";

        public override long ScratchBytes =>
            4 * (PackedKeys + PackedValues + (long)QueryBlock * (headChannels + scoreStride + sumStride + 2) + 64);

        private static int Columns { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => MicroKernel<S, V>.Columns; }

        private static int Rows { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => MicroKernel<S, V>.MaxRows; }

        private long PackedKeys => PackedMatrix.Count(headChannels, positions, Columns);

        private long PackedValues => PackedMatrix.Count(positions, headChannels, Columns);

        public override int Tasks(int phase) => positions == 0 ? 0 : images * heads;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public override void Run(int phase, int task, float* scratch)
        {
            int n = task / heads, head = task % heads, d = headChannels;
            nint stride = 3 * channels;
            float* q = qkv + n * positions * stride + head * 3 * d;
            float* keys = scratch;
            float* values = keys + PackedKeys;
            float* queries = values + PackedValues;
            float* scores = queries + QueryBlock * d;
            float* sums = scores + QueryBlock * scoreStride;
            float* maxima = sums + QueryBlock * sumStride;
            float* totals = maxima + QueryBlock;
            PackedMatrix.Pack(q + d, 1, stride, d, positions, Columns, keys);
            PackedMatrix.Pack(q + 2 * d, stride, 1, positions, d, Columns, values);

            float scale = (float)(1 / Math.Sqrt(d));
            for (int first = 0; first < positions; first += QueryBlock)
            {
                int count = Math.Min(QueryBlock, positions - first);
                for (int i = 0; i < QueryBlock; i++)
                {
                    maxima[i] = float.NegativeInfinity;
                    totals[i] = 0;
                    // Rows beyond the last query repeat it; their results are dropped.
                    Elementwise.Scale<S, V>(q + (first + Math.Min(i, count - 1)) * stride, scale, queries + i * d, d);
                }
                new Span<float>(sums, QueryBlock * sumStride).Clear();
                for (int key = 0; key < positions; key += KeyBlock)
                    Block(queries, count, keys, values, key, Math.Min(KeyBlock, positions - key), scores, sums, maxima, totals);
                for (int i = 0; i < count; i++)
                {
                    Elementwise.Scale<S, V>(sums + i * sumStride, 1 / totals[i], output + (n * positions + first + i) * (nint)channels
                        + head * d, d);
                }
            }
        }

        // One block of keys: scores = q k^T, new maxima, exponentials, sums = sums * correction + exponentials v.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Block(float* queries, int count, float* keys, float* values, int key, int keyCount, float* scores, float* sums,
            float* maxima, float* totals)
        {
            int d = headChannels, ld = scoreStride, ldSums = sumStride;
            for (int c = 0; c < keyCount; c += Columns)
            {
                float* panel = keys + (nint)(key + c) * d;
                for (int i = 0; i < count; i += Rows)
                    MicroKernel<S, V>.Run(Rows, queries + i * d, d, 1, 0, d, panel, scores + i * ld + c, ld);
            }
            for (int i = 0; i < count; i++)
            {
                float* row = scores + i * ld;
                float largest = Math.Max(maxima[i], Largest(row, keyCount));
                float correction = maxima[i] == largest ? 1 : MathF.Exp(maxima[i] - largest);
                totals[i] = totals[i] * correction + Exponentials(row, keyCount, largest);
                if (correction != 1) Elementwise.Scale<S, V>(sums + i * ldSums, correction, sums + i * ldSums, ldSums);
                maxima[i] = largest;
            }
            for (int c = 0; c < ldSums; c += Columns)
            {
                float* panel = values + (nint)c * positions + (nint)key * Columns;
                for (int i = 0; i < count; i += Rows)
                {
                    MicroKernel<S, V>.Run(Rows, scores + i * ld, ld, 1, 0, keyCount, panel, sums + i * ldSums + c, ldSums,
                        accumulate: true);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Largest(float* row, int count)
        {
            float largest = float.NegativeInfinity;
            int i = 0;
            if (count >= 2 * S.Lanes)
            {
                V max0 = S.Load(row), max1 = S.Load(row + S.Lanes);
                for (i = 2 * S.Lanes; i <= count - 2 * S.Lanes; i += 2 * S.Lanes)
                {
                    max0 = S.Max(max0, S.Load(row + i));
                    max1 = S.Max(max1, S.Load(row + i + S.Lanes));
                }
                largest = S.MaxAcross(S.Max(max0, max1));
            }
            for (; i < count; i++) largest = Math.Max(largest, row[i]);
            return largest;
        }

        // row = e^(row - largest), returns the sum.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Exponentials(float* row, int count, float largest)
        {
            V sum0 = S.Zero, sum1 = S.Zero, shift = S.Splat(largest);
            int i = 0;
            for (; i <= count - 2 * S.Lanes; i += 2 * S.Lanes)
            {
                V e0 = SimdMath<S, V>.Exp(S.Subtract(S.Load(row + i), shift));
                V e1 = SimdMath<S, V>.Exp(S.Subtract(S.Load(row + i + S.Lanes), shift));
                S.Store(e0, row + i);
                S.Store(e1, row + i + S.Lanes);
                sum0 = S.Add(sum0, e0);
                sum1 = S.Add(sum1, e1);
            }
            float total = S.Sum(S.Add(sum0, sum1));
            for (; i < count; i++)
            {
                row[i] = MathF.Exp(row[i] - largest);
                total += row[i];
            }
            return total;
        }
    }
}
