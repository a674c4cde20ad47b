using System.Runtime.CompilerServices;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// The gradient of attention by strips: the scores of a block of queries with all keys, transposed, become weights in place
/// and never leave the cache. One task for each image and head.
/// </summary>
/// <remarks>
/// With queries along the columns of a strip, the softmax is taken lane by lane, and one layout, panels of [keys][columns],
/// serves all five products: its rows times queries and dy give dk and dv, and it is the packed right-hand side of
/// dq^T = k^T ds^T.
/// </remarks>
internal sealed unsafe class AttentionGradKernel : CpuKernel<AttentionGrad>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed class Launch<S, V> : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        // 64 x 96 weights and as many derivatives are 48 KiB; 96 keys are whole tiles of 12 or 6 rows.
        private const int QueryBlock = 64;
        private const int KeyBlock = 96;

        private readonly int heads;
        private readonly int images;
        private readonly int positions;
        private readonly int channels;
        private readonly int d;
        // Positions up to whole panels; channels of a head up to whole panels.
        private readonly int paddedPositions;
        private readonly int paddedChannels;
        // An odd number of cache lines: rows 4 KiB apart would share the same few lines of the first-level cache.
        private readonly int acrossStride;
        private readonly float* qkv;
        private readonly float* y;
        private readonly float* dy;
        private readonly float* gradient;

        public Launch(Node node, CpuContext context)
        {
            heads = ((AttentionGrad)node.Operator).Heads;
            images = node.Output.Shape[0];
            positions = node.Output.Shape[1] * node.Output.Shape[2];
            channels = node.Output.Shape[3] / 3;
            d = channels / heads;
            paddedPositions = PackedMatrix.Panels(positions, Columns) * Columns;
            paddedChannels = PackedMatrix.Panels(d, Columns) * Columns;
            acrossStride = ((positions + 15) / 16 | 1) * 16;
            qkv = context.Pointer(node.Input(AttentionGrad.Qkv));
            y = context.Pointer(node.Input(AttentionGrad.Y));
            dy = context.Pointer(node.Input(AttentionGrad.Dy));
            gradient = context.Pointer(node.Output);
        }

        public override string Description => "attention grad";

        public override long ScratchBytes => 4 * (new Head(null, this).Floats + 64);

        private static int Columns { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => MicroKernel<S, V>.Columns; }

        private static int Rows { [MethodImpl(MethodImplOptions.AggressiveInlining)] get => MicroKernel<S, V>.MaxRows; }

        public override int Tasks(int phase) => positions == 0 || d == 0 ? 0 : images * heads;

        public override void Run(int phase, int task, float* scratch)
        {
            int n = task / heads, head = task % heads;
            nint stride = 3 * channels, at = n * positions * stride + head * 3 * d, result = (nint)n * positions * channels + head * d;
            var memory = new Head(scratch, this);
            float scale = (float)(1 / Math.Sqrt(d));
            Load(memory, qkv + at, y + result, dy + result, scale);
            for (int first = 0; first < positions; first += QueryBlock)
            {
                int panels = PackedMatrix.Panels(Math.Min(QueryBlock, positions - first), Columns);
                Scores(memory, first, panels);
                new Span<float>(memory.QueryGradients, panels * (d + Rows) * Columns).Clear();
                for (int key = 0; key < positions; key += KeyBlock) Block(memory, first, panels, key, Math.Min(KeyBlock, positions - key));
                for (int i = 0; i < Math.Min(QueryBlock, positions - first); i++)
                {
                    float* from = memory.QueryGradients + i / Columns * (d + Rows) * Columns + i % Columns;
                    float* to = gradient + at + (first + i) * stride;
                    for (int c = 0; c < d; c++) to[c] = scale * from[c * Columns];
                }
            }
            for (int t = 0; t < positions; t++)
            {
                float* to = gradient + at + t * stride;
                new Span<float>(memory.KeyGradients + (nint)t * paddedChannels, d).CopyTo(new Span<float>(to + d, d));
                new Span<float>(memory.ValueGradients + (nint)t * paddedChannels, d).CopyTo(new Span<float>(to + 2 * d, d));
            }
        }

        // Brings a head into the layouts of the products. Rows beyond the last position are 0: they add nothing.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Load(in Head memory, float* q, float* result, float* cotangent, float scale)
        {
            nint stride = 3 * channels;
            float* rows = memory.Strip;
            for (int t = 0; t < positions; t++)
            {
                Elementwise.Scale<S, V>(q + t * stride, scale, rows + t * d, d);
                new Span<float>(q + t * stride + d, d).CopyTo(new Span<float>(memory.Keys + (nint)t * d, d));
                new Span<float>(q + t * stride + 2 * d, d).CopyTo(new Span<float>(memory.Values + (nint)t * d, d));
                memory.Deltas[t] = Dot(result + (nint)t * channels, cotangent + (nint)t * channels, d);
            }
            int padding = paddedPositions - positions;
            new Span<float>(memory.Deltas + positions, padding).Clear();
            new Span<float>(memory.Keys + (nint)positions * d, Rows * d).Clear();
            new Span<float>(memory.Values + (nint)positions * d, Rows * d).Clear();
            PackedMatrix.Pack(q + d, 1, stride, d, positions, acrossStride, memory.KeysAcross);
            new Span<float>(memory.KeysAcross + (nint)d * acrossStride, Rows * acrossStride).Clear();

            new Span<float>(rows + (nint)positions * d, padding * d).Clear();
            PackedMatrix.Pack(rows, 1, d, d, paddedPositions, Columns, memory.QueriesAcross);
            PackedMatrix.Pack(rows, d, 1, paddedPositions, d, Columns, memory.Queries);
            for (int t = 0; t < positions; t++)
                new Span<float>(cotangent + (nint)t * channels, d).CopyTo(new Span<float>(rows + (nint)t * d, d));
            PackedMatrix.Pack(rows, 1, d, d, paddedPositions, Columns, memory.CotangentsAcross);
            PackedMatrix.Pack(rows, d, 1, paddedPositions, d, Columns, memory.Cotangents);
            new Span<float>(memory.KeyGradients, (positions + Rows) * paddedChannels).Clear();
            new Span<float>(memory.ValueGradients, (positions + Rows) * paddedChannels).Clear();
        }

        // The strip of a block of queries: e^(score - largest), and 1 / their sum for each query.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Scores(in Head memory, int first, int panels)
        {
            for (int p = 0; p < panels; p++)
            {
                float* strip = memory.Strip + (nint)p * (positions + Rows) * Columns;
                Product(memory.Keys, d, 1, 0, d, positions, memory.QueriesAcross + (nint)(first + p * Columns) * d, strip, Columns,
                    accumulate: false);
                for (int c = 0; c < Columns; c += S.Lanes)
                {
                    V largest = S.Splat(float.NegativeInfinity), total = S.Zero;
                    float* at = strip + c;
                    for (int t = 0; t < positions; t++, at += Columns) largest = S.Max(largest, S.Load(at));
                    at = strip + c;
                    for (int t = 0; t < positions; t++, at += Columns)
                    {
                        V e = SimdMath<S, V>.Exp(S.Subtract(S.Load(at), largest));
                        S.Store(e, at);
                        total = S.Add(total, e);
                    }
                    S.Store(S.Divide(S.Splat(1), total), memory.Shares + p * Columns + c);
                }
            }
        }

        // A block of queries with a block of keys.
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Block(in Head memory, int first, int panels, int key, int count)
        {
            nint stripStride = (nint)(positions + Rows) * Columns, slopeStride = (nint)(KeyBlock + Rows) * Columns;
            for (int p = 0; p < panels; p++)
            {
                float* weights = memory.Strip + p * stripStride + (nint)key * Columns, slopes = memory.Slopes + p * slopeStride;
                Product(memory.Values + (nint)key * d, d, 1, 0, d, count, memory.CotangentsAcross + (nint)(first + p * Columns) * d, slopes,
                    Columns, accumulate: false);
                for (int c = 0; c < Columns; c += S.Lanes)
                {
                    V share = S.Load(memory.Shares + p * Columns + c), delta = S.Load(memory.Deltas + first + p * Columns + c);
                    float* w = weights + c, s = slopes + c;
                    for (int t = 0; t < count; t++, w += Columns, s += Columns)
                    {
                        V weight = S.Multiply(S.Load(w), share);
                        S.Store(weight, w);
                        S.Store(S.Multiply(weight, S.Subtract(S.Load(s), delta)), s);
                    }
                }
                Product(memory.KeysAcross + key, acrossStride, 1, 0, count, d, slopes, memory.QueryGradients + p * (d + Rows) * Columns,
                    Columns, accumulate: true);
            }
            for (int c = 0; c < paddedChannels; c += Columns)
            {
                nint panel = (nint)c * paddedPositions + (nint)first * Columns, to = (nint)key * paddedChannels + c;
                Product(memory.Strip + (nint)key * Columns, Columns, panels, stripStride, Columns, count, memory.Cotangents + panel,
                    memory.ValueGradients + to, paddedChannels, accumulate: true);
                Product(memory.Slopes, Columns, panels, slopeStride, Columns, count, memory.Queries + panel, memory.KeyGradients + to,
                    paddedChannels, accumulate: true);
            }
        }

        // One panel of a product with so many rows, and up to a tile more, which nobody reads.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Product(float* a, nint rowStride, int segments, nint segmentStride, int k, int rows, float* b, float* c,
            nint ldc, bool accumulate)
        {
            for (int i = 0; i < rows;)
            {
                int tile = MicroKernel<S, V>.RowsFor(rows - i);
                MicroKernel<S, V>.Run(tile, a + i * rowStride, rowStride, segments, segmentStride, k, b, c + i * ldc, ldc, accumulate);
                i += tile;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static float Dot(float* a, float* b, int count)
        {
            V sum = S.Zero;
            for (int i = 0; i < count; i += S.Lanes)
                sum = S.MultiplyAdd(Part<S, V>.Load(a + i, count - i), Part<S, V>.Load(b + i, count - i), sum);
            return S.Sum(sum);
        }

        /// <summary>A head's memory in scratch.</summary>
        private readonly struct Head
        {
            public Head(float* scratch, Launch<S, V> launch)
            {
                long rows = launch.positions + Rows, positions = launch.paddedPositions, d = launch.d, across = launch.paddedChannels;
                int panels = QueryBlock / Columns;
                float* next = scratch;
                float* Take(long count)
                {
                    float* taken = next;
                    next += count;
                    return taken;
                }
                Keys = Take(rows * d);
                Values = Take(rows * d);
                KeysAcross = Take((d + Rows) * launch.acrossStride);
                QueriesAcross = Take(d * positions);
                CotangentsAcross = Take(d * positions);
                Queries = Take(positions * across);
                Cotangents = Take(positions * across);
                KeyGradients = Take(rows * across);
                ValueGradients = Take(rows * across);
                Deltas = Take(positions);
                Shares = Take(QueryBlock);
                QueryGradients = Take(panels * (d + Rows) * Columns);
                Slopes = Take(panels * (long)(KeyBlock + Rows) * Columns);
                // Holds queries and cotangents before there are scores.
                Strip = Take(Math.Max(panels * rows * Columns, positions * d));
                Floats = next - scratch;
            }

            /// <summary>Size of all together.</summary>
            public long Floats { get; }

            /// <summary>[T][d].</summary>
            public float* Keys { get; }

            /// <summary>[T][d].</summary>
            public float* Values { get; }

            /// <summary>[d][T].</summary>
            public float* KeysAcross { get; }

            /// <summary>Packed [d, T], scaled.</summary>
            public float* QueriesAcross { get; }

            /// <summary>Packed [d, T].</summary>
            public float* CotangentsAcross { get; }

            /// <summary>Packed [T, d], scaled.</summary>
            public float* Queries { get; }

            /// <summary>Packed [T, d].</summary>
            public float* Cotangents { get; }

            /// <summary>dk [T][d in whole panels].</summary>
            public float* KeyGradients { get; }

            /// <summary>dv [T][d in whole panels].</summary>
            public float* ValueGradients { get; }

            /// <summary>sum(dy y) [T].</summary>
            public float* Deltas { get; }

            /// <summary>1 / the sum of exponentials, for each query of the block.</summary>
            public float* Shares { get; }

            /// <summary>dq of the block, panels of [d][columns].</summary>
            public float* QueryGradients { get; }

            /// <summary>ds of a block of queries and keys, panels of [keys][columns].</summary>
            public float* Slopes { get; }

            /// <summary>Exponentials, then weights of the block, panels of [T][columns].</summary>
            public float* Strip { get; }
        }
    }
}
