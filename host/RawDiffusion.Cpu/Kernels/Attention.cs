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

    private sealed class Launch<S, V>(Node node, CpuContext context) : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        // 24 x 256 scores are 24 KiB: half of a first-level cache.
        private const int QueryBlock = 24;
        private const int KeyBlock = 256;

        private readonly int heads = ((Attention)node.Operator).Heads;
        private readonly int images = node.Output.Shape[0];
        private readonly int positions = node.Output.Shape[1] * node.Output.Shape[2];
        private readonly int channels = node.Output.Shape[3];
        private readonly float* qkv = context.Pointer(node.Input(0));
        private readonly float* output = context.Pointer(node.Output);

        public override string Description => "attention";

        private int HeadChannels => channels / heads;

        private int HeadPadded => PackedMatrix.Panels(HeadChannels, MicroKernel<S, V>.Columns) * MicroKernel<S, V>.Columns;

        private int KeysPadded => (Math.Min(KeyBlock, positions) + MicroKernel<S, V>.Columns - 1) / MicroKernel<S, V>.Columns * MicroKernel<S, V>.Columns;

        private long PackedKeys => PackedMatrix.Count(HeadChannels, positions, MicroKernel<S, V>.Columns);

        private long PackedValues => (long)positions * HeadPadded;

        public override long ScratchBytes => 4 * (PackedKeys + PackedValues + QueryBlock * (HeadChannels + 16L + KeysPadded + HeadPadded + 2) + 64);

        public override int Tasks(int phase) => images * heads;

        public override void Run(int phase, int task, float* scratch)
        {
            int n = task / heads, head = task % heads;
            int d = HeadChannels;
            nint stride = 3 * channels;
            float* q = qkv + n * positions * stride + head * 3 * d;
            float* keys = scratch;
            float* values = keys + PackedKeys;
            float* queries = values + PackedValues;
            float* scores = queries + QueryBlock * (d + 16);
            float* sums = scores + QueryBlock * KeysPadded;
            float* maxima = sums + QueryBlock * HeadPadded;
            float* totals = maxima + QueryBlock;
            PackedMatrix.Pack(q + d, 1, stride, d, positions, MicroKernel<S, V>.Columns, keys);
            PackValues(q + 2 * d, stride, values);

            float scale = (float)(1 / Math.Sqrt(d));
            for (int first = 0; first < positions; first += QueryBlock)
            {
                int count = Math.Min(QueryBlock, positions - first);
                for (int i = 0; i < QueryBlock; i++)
                {
                    maxima[i] = float.NegativeInfinity;
                    totals[i] = 0;
                    float* row = q + (first + Math.Min(i, count - 1)) * stride;
                    for (int c = 0; c < d; c++) queries[i * d + c] = row[c] * scale;
                }
                new Span<float>(sums, QueryBlock * HeadPadded).Clear();
                for (int key = 0; key < positions; key += KeyBlock)
                    Block(queries, count, keys, values, key, Math.Min(KeyBlock, positions - key), scores, sums, maxima, totals);
                for (int i = 0; i < count; i++)
                {
                    float inverse = 1 / totals[i];
                    float* y = output + (n * positions + first + i) * (nint)channels + head * d;
                    for (int c = 0; c < d; c++) y[c] = sums[i * HeadPadded + c] * inverse;
                }
            }
        }

        // One block of keys: scores = q k^T, new maxima, exponentials, sums = sums * correction + exponentials v.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Block(float* queries, int count, float* keys, float* values, int key, int keyCount, float* scores, float* sums, float* maxima, float* totals)
        {
            int columns = MicroKernel<S, V>.Columns;
            int d = HeadChannels;
            int ld = KeysPadded;
            for (int c = 0; c < keyCount; c += columns)
            {
                float* panel = keys + (nint)(key + c) * d;
                for (int i = 0; i < count; i += MicroKernel<S, V>.MaxRows)
                    MicroKernel<S, V>.Run(MicroKernel<S, V>.MaxRows, queries + i * d, d, 1, 0, d, panel, scores + i * ld + c, ld);
            }
            for (int i = 0; i < count; i++)
            {
                float* row = scores + i * ld;
                float largest = Math.Max(maxima[i], Largest(row, keyCount));
                float correction = maxima[i] == largest ? 1 : MathF.Exp(maxima[i] - largest);
                totals[i] = totals[i] * correction + Exponentials(row, keyCount, largest);
                if (correction != 1)
                {
                    for (int c = 0; c < HeadPadded; c += S.Lanes)
                        S.Store(S.Multiply(S.Load(sums + i * HeadPadded + c), S.Splat(correction)), sums + i * HeadPadded + c);
                }
                maxima[i] = largest;
            }
            for (int c = 0; c < HeadPadded; c += columns)
            {
                float* panel = values + (nint)c * positions + (nint)key * columns;
                for (int i = 0; i < count; i += MicroKernel<S, V>.MaxRows)
                    MicroKernel<S, V>.Run(MicroKernel<S, V>.MaxRows, scores + i * ld, ld, 1, 0, keyCount, panel, sums + i * HeadPadded + c, HeadPadded, accumulate: true);
            }
        }

        private static float Largest(float* row, int count)
        {
            float largest = float.NegativeInfinity;
            int i = 0;
            if (count >= S.Lanes)
            {
                V max = S.Load(row);
                for (i = S.Lanes; i <= count - S.Lanes; i += S.Lanes) max = S.Max(max, S.Load(row + i));
                largest = S.MaxAcross(max);
            }
            for (; i < count; i++) largest = Math.Max(largest, row[i]);
            return largest;
        }

        // row = e^(row - largest), returns the sum.
        private static float Exponentials(float* row, int count, float largest)
        {
            V sum = S.Zero, shift = S.Splat(largest);
            int i = 0;
            for (; i <= count - S.Lanes; i += S.Lanes)
            {
                V e = SimdMath<S, V>.Exp(S.Subtract(S.Load(row + i), shift));
                S.Store(e, row + i);
                sum = S.Add(sum, e);
            }
            float total = S.Sum(sum);
            for (; i < count; i++)
            {
                row[i] = MathF.Exp(row[i] - largest);
                total += row[i];
            }
            return total;
        }

        // Panels of the head's channels, each [positions][columns].
        private void PackValues(float* v, nint stride, float* destination) =>
            PackedMatrix.Pack(v, stride, 1, positions, HeadChannels, MicroKernel<S, V>.Columns, destination);
    }
}
