using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Checks;

/// <summary>
/// What <c>check</c> runs: every operator, plain and with everything that the passes fuse into it, at shapes that are
/// awkward for tiles and vectors: one pixel, odd sides, ragged channels, an empty batch, more than one tile.
/// </summary>
public static class KernelCases
{
    /// <summary>All cases.</summary>
    public static IReadOnlyList<KernelCase> All { get; } =
    [
        .. Convolutions(), .. Attentions(), .. Norms(), .. Products(), .. Movements(), .. RowSums(), .. Steps(),
        .. TrainingCases.All(), .. TileCases.All(), .. GraphCases.All(),
    ];

    private static IEnumerable<KernelCase> Convolutions()
    {
        // Batch, height, width, input and output channels, kernel, stride, padding.
        int[][] plain =
        [
            [1, 1, 1, 1, 1, 1, 1, 0], [1, 5, 13, 33, 20, 3, 1, 1], [2, 13, 17, 3, 20, 3, 2, 1], [1, 13, 17, 20, 33, 1, 1, 0],
            [2, 7, 5, 48, 3, 3, 1, 1], [1, 16, 16, 64, 64, 3, 1, 1], [2, 8, 8, 64, 192, 1, 1, 0], [1, 17, 33, 40, 72, 3, 1, 1],
            [1, 6, 5, 4, 3, 5, 1, 2], [0, 5, 5, 16, 16, 3, 1, 1], [1, 32, 64, 32, 64, 3, 1, 1], [3, 9, 9, 16, 128, 3, 2, 1],
        ];
        foreach (int[] s in plain)
        {
            yield return new KernelCase(new Conv2d(s[6], s[7]),
                [new CaseInput([s[0], s[1], s[2], s[3]]), CaseInput.Weight([s[4], s[5], s[5], s[3]]), CaseInput.Constant([s[4]]), null,
                null, null, null]);
        }
        yield return new KernelCase(new Conv2d(1, 1), [new CaseInput([1, 16, 16, 64]) { HasAllBits = true },
            CaseInput.Weight([64, 3, 3, 64]), CaseInput.Constant([64]), null, null, null, null]);
        // Everything fused, with and without each part; channels whole and ragged.
        foreach ((int n, int h, int w, int c, int c2, int o, int kernel) in ((int, int, int, int, int, int, int)[])
            [(2, 6, 10, 32, 16, 48, 3), (1, 5, 9, 33, 7, 21, 3), (2, 8, 16, 64, 64, 64, 1)])
        {
            int channels = c + c2, padding = kernel / 2;
            CaseInput x = new([n, h, w, c]), weight = CaseInput.Weight([o, kernel, kernel, channels]), bias = CaseInput.Constant([o]);
            CaseInput x2 = new([n, h, w, c2]), affine = new([n, 2, channels]), embedding = new([n, o]);
            yield return new KernelCase(new Conv2d(1, padding) { OnLoad = Activation.Silu, OnStore = Activation.Relu },
                [x, weight, bias, x2, affine, embedding, new CaseInput([n, h, w, o])]);
            yield return new KernelCase(new Conv2d(1, padding) { OnLoad = Activation.Silu, Upsample = true, UpsampleResidual = true },
                [x, weight, bias, x2, affine, null, new CaseInput([n, h, w, o])]);
            yield return new KernelCase(new Conv2d(1, padding) { Upsample = true, OnStore = Activation.Silu },
                [x with { Shape = x.Shape.WithChannels(channels) }, weight, null, null, null, embedding, null]);
            yield return new KernelCase(new Conv2d(1, padding) { OnLoad = Activation.Silu },
                [x, weight, bias, x2, affine, embedding, null, new CaseInput([n, h, w, 24]), new CaseInput([n, h, w, 40]),
                CaseInput.Weight([o, 1, 1, 64])]);
            yield return new KernelCase(new Conv2d(1, padding),
                [x, weight, bias, x2, null, null, null, new CaseInput([n, h, w, 19]), null, CaseInput.Weight([o, 1, 1, 19])]);
            // A tensor in float32 beside one as the precision stores it.
            yield return new KernelCase(new Conv2d(1, padding), [x with { IsWeight = true }, weight, bias, x2, null, null, null]);
        }
    }

    private static IEnumerable<KernelCase> Attentions()
    {
        foreach ((int n, int h, int w, int heads, int d) in ((int, int, int, int, int)[])
            [(1, 1, 1, 1, 8), (2, 3, 5, 3, 20), (1, 7, 11, 2, 33), (2, 8, 8, 1, 64), (1, 9, 15, 2, 64), (1, 5, 13, 1, 128),
                (1, 16, 16, 2, 32), (0, 4, 4, 1, 16)])
        {
            yield return new KernelCase(new Attention(heads), [new CaseInput([n, h, w, 3 * heads * d])]);
        }

        yield return new KernelCase(new Attention(1), [new CaseInput([2, 8, 8, 3 * 64]) { HasAllBits = true }]);
        // Scores of hundreds, and of millions: only powers relative to the largest of them are neither zero nor infinite.
        yield return new KernelCase(new Attention(2), [new CaseInput([1, 3, 5, 96], 0, 8)]);
        yield return new KernelCase(new Attention(2), [new CaseInput([1, 3, 5, 96], 0, 100)]);
        // Scores that grow from tile to tile: what the tiles before left counts for less and less.
        yield return new KernelCase(new Attention(1), [new CaseInput([1, 3, 67, 3 * 64], 3, 0.9) { Rises = true }]);
    }

    private static IEnumerable<KernelCase> Norms()
    {
        foreach ((int n, int h, int w, int c, int groups, double mean) in ((int, int, int, int, int, double)[])
            [(2, 7, 9, 32, 16, 0), (1, 1, 1, 64, 16, 0), (2, 30, 31, 19, 19, 0), (1, 16, 16, 80, 16, 0), (3, 5, 5, 24, 1, 0),
                (1, 2, 3, 1028, 4, 0), (0, 4, 4, 16, 16, 0)])
        {
            CaseInput x = new([n, h, w, c], mean), gamma = CaseInput.Constant([c], 1, 0.3), beta = CaseInput.Constant(
                [c]), film = new([n, 2 * c]);
            yield return new KernelCase(new GroupNorm(groups, 1e-5f, Activation.Silu), [x, gamma, beta, film]);
            yield return new KernelCase(new GroupNorm(groups, 1e-5f, Activation.None), [x, gamma, beta, null]);
            yield return new KernelCase(new GroupNormAffine(groups, 1e-5f), [x, gamma, beta, film, null]);
            if (groups > 1) continue;
            yield return new KernelCase(new GroupNormAffine(4, 1e-5f),
                [x, CaseInput.Constant([c + 12], 1, 0.3), CaseInput.Constant([c + 12]), null, new CaseInput([n, h, w, 12], 1, 3)]);
        }
        yield return new KernelCase(new BatchNorm(),
            [new CaseInput([2, 5, 7, 33]), CaseInput.Constant([33], 1, 0.3), CaseInput.Constant([33]), CaseInput.Constant([33]),
            CaseInput.Constant([33], 5, 0.5)]);
        // A variance that epsilon counts against.
        yield return new KernelCase(new BatchNorm(),
            [new CaseInput([2, 5, 7, 16], 0, 0.01), CaseInput.Constant([16], 1, 0.3), CaseInput.Constant([16]),
            CaseInput.Constant([16], 0, 0.01), CaseInput.Constant([16], 1e-4, 1e-5)]);
    }

    private static IEnumerable<KernelCase> Products()
    {
        foreach ((int m, int i, int o) in (
            (int, int, int)[])[(1, 1, 1), (3, 33, 20), (4, 256, 192), (65, 64, 70), (2, 5000, 17), (0, 8, 8)])
        {
            yield return new KernelCase(
            new Linear { OnStore = Activation.Silu }, [new CaseInput([m, i]), CaseInput.Weight([o, i]), CaseInput.Constant([o])]);
        }
    }

    private static IEnumerable<KernelCase> Movements()
    {
        foreach (Shape shape in (Shape[])[[2, 6, 10, 64], [1, 5, 7, 33], [1, 2, 2, 1], [0, 4, 4, 8]])
        {
            CaseInput x = new(shape);
            int channels = shape[^1];
            yield return new KernelCase(new Activate(Activation.Silu), [x]);
            yield return new KernelCase(new Activate(Activation.Relu), [x]);
            yield return new KernelCase(new Add(), [x, x]);
            yield return new KernelCase(new AddEmbedding(), [x, new CaseInput([shape[0], channels])]);
            yield return new KernelCase(new AvgPool2d(), [x, null]);
            yield return new KernelCase(new AvgPool2d(Activation.Silu), [x, new CaseInput([shape[0], 2, channels])]);
            yield return new KernelCase(new UpsampleNearest(), [x]);
            yield return new KernelCase(new Concat(), [x, new CaseInput(shape.WithChannels(24))]);
        }
        foreach (PoolKind kind in Enum.GetValues<PoolKind>())
        {
            yield return new KernelCase(new Pool2d(kind, 3, 2), [new CaseInput([2, 7, 10, 64])]);
            yield return new KernelCase(new Pool2d(kind, 3, 1, 1), [new CaseInput([1, 5, 1, 33])]);
            yield return new KernelCase(new Pool2d(kind, 3, 1, 1), [new CaseInput([2, 3, 6, 8])]);
            yield return new KernelCase(new Pool2d(kind, 2, 3, 1), [new CaseInput([0, 4, 4, 8])]);
        }
        yield return new KernelCase(new Pool2d(PoolKind.Max, 2, 2), [new CaseInput([2, 4, 6, 8]) { HasCorners = true }]);
        yield return new KernelCase(new Activate(Activation.Relu), [new CaseInput([2, 3, 5, 8]) { HasCorners = true }]);
        yield return new KernelCase(new Concat(), [new CaseInput([4, 128]), new CaseInput([4, 33])]);
    }

    private static IEnumerable<KernelCase> RowSums()
    {
        foreach (RowGroups groups in (
            RowGroups[])[RowGroups.Mean(2, 4), RowGroups.Mean(3, 1), new RowGroups([2, 0, 3], [0.5f, -1, 2, 0.25f, 1])])
        {
            foreach (int channels in (int[])[64, 7])
            {
                CaseInput rows = new([groups.Rows, 5, 6, channels]), images = new([groups.Count, 5, 6, channels]);
                yield return new KernelCase(new RepeatRows(groups), [images, null]);
                yield return new KernelCase(new RepeatRows(groups), [images, new CaseInput([groups.Rows, channels])]);
                yield return new KernelCase(new SumRows(groups), [rows, null]);
                yield return new KernelCase(new SumRows(groups, Activation.Silu), [rows, new CaseInput([groups.Rows, 2, channels])]);
                CaseInput x = new([groups.Count, 5, 6, 3]);
                yield return new KernelCase(new DenoiseAverageStep(groups, Activation.Silu, Clip: true),
                    [rows, x, CaseInput.Constant([4, 5]), CaseInput.Counter(2), x, new CaseInput([groups.Rows, 2, channels]),
                    CaseInput.Weight([3, 3, 3, channels]), CaseInput.Constant([3])]);
            }
            yield return new KernelCase(new RepeatRows(groups), [new CaseInput([groups.Count, 33]), null]);
        }
        // More than one chunk of channels, more than one group of outputs, the last ones cut.
        foreach (int outputs in (int[])[5, 7])
        {
            CaseInput many = new([2, 5, 6, outputs]);
            yield return new KernelCase(new DenoiseAverageStep(RowGroups.Mean(2, 2), Activation.Silu, Clip: true),
                [new CaseInput([4, 5, 6, 136]), many, CaseInput.Constant([4, 5]), CaseInput.Counter(2), many, new CaseInput([4, 2, 136]),
                CaseInput.Weight([outputs, 3, 3, 136]), CaseInput.Constant([outputs])]);
        }
        // More than one tile of pixels, and no optional input.
        var one = RowGroups.Mean(1, 2);
        yield return new KernelCase(new DenoiseAverageStep(one, Activation.None, Clip: false),
            [new CaseInput([2, 33, 40, 32]), new CaseInput([1, 33, 40, 1]), CaseInput.Constant([1, 5]), CaseInput.Counter(9), null, null,
            CaseInput.Weight([1, 3, 3, 32]), null]);
    }

    private static IEnumerable<KernelCase> Steps()
    {
        CaseInput x = new([2, 5, 7, 3]), table = CaseInput.Constant([6, 5]);
        yield return new KernelCase(new DenoiseStep(Clip: true), [x with { HasCorners = true }, x, table, CaseInput.Counter(9), null]);
        yield return new KernelCase(new DenoiseStep(Clip: true), [x, x, table, CaseInput.Counter(3), x]);
        yield return new KernelCase(new DenoiseStep(Clip: false), [x, x, table, CaseInput.Counter(-1), null]);
        yield return new KernelCase(new TableRow(3), [CaseInput.Constant([5, 3, 7]), CaseInput.Counter(4)]);
        foreach (int outside in (int[])[-1, 5])
            yield return new KernelCase(new TableRow(1), [CaseInput.Constant([5, 3, 7]), CaseInput.Counter(outside)]);
        yield return new KernelCase(new NextStep(), [CaseInput.Counter(4)]);
        yield return new KernelCase(new TimestepEmbedding(65), [new CaseInput([9], 500, 200)]);
        // Every remainder of four; many numbers, so that small uniform ones are among them, whose logarithm is large.
        foreach (Shape shape in (Shape[])[[2, 5, 13, 3], [1, 5, 7, 1], [13], [2, 64, 64, 3]])
            yield return new KernelCase(new RandomNormal(shape, 7, 3), [CaseInput.Counter(49), null]);
        // First rows that begin with each number of a block, and one past 2^32 blocks.
        foreach (int first in (int[])[0, 1, 2, 3])
            yield return new KernelCase(new RandomNormal([3, 5, 7, 1], 7, 3), [CaseInput.Counter(49), CaseInput.Counter(first)]);
        yield return new KernelCase(new RandomNormal([2, 25, 41, 3], 7, 3), [CaseInput.Counter(49), CaseInput.Counter(7_000_001)]);
    }
}
