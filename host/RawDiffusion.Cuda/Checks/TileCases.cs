using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Checks;

/// <summary>
/// Sizes of one less and of one more than whole tiles, for everything that kernels cut into tiles: where a bound is wrong by one,
/// these show it. What goes over elements one by one counts past 16 bits, too.
/// </summary>
internal static class TileCases
{
    public static IEnumerable<KernelCase> All() =>
        [.. Elementwise(1, 5, 17), .. Elementwise(1, 91, 241), .. Convolutions(), .. Attentions(), .. Norms(), .. Products(), .. Vectors(),
        .. Cosines()];

    // Three channels in each pixel: 255 elements, and 257 * 256 + 1.
    private static IEnumerable<KernelCase> Elementwise(int n, int h, int w)
    {
        const int c = 3;
        CaseInput x = new([n, h, w, c]), affine = new([n, 2, c]), vector = new([c]), positive = new([2, c], 3, 0.3);
        CaseInput twice = new([n, 2 * h, 2 * w, c]), constant = CaseInput.Constant([c], 1, 0.3);
        yield return new KernelCase(new Activate(Activation.Silu), [x]);
        yield return new KernelCase(new ActivateGrad(Activation.Silu), [x, x]);
        yield return new KernelCase(new Add(), [x, x]);
        yield return new KernelCase(new AddEmbedding(), [x, new CaseInput([n, c])]);
        yield return new KernelCase(new AvgPool2d(), [twice, null]);
        yield return new KernelCase(new AvgPool2dGradInput(h, w), [new CaseInput([n, h / 2, w / 2, c])]);
        yield return new KernelCase(
            new BatchNorm(), [x, constant, CaseInput.Constant([c]), CaseInput.Constant([c]), CaseInput.Constant([c], 5, 0.5)]);
        yield return new KernelCase(new BatchNormGradInput(), [x, vector, positive, x, new CaseInput([2, c])]);
        yield return new KernelCase(new Concat(), [x with { Shape = x.Shape.WithChannels(1) }, x with { Shape = x.Shape.WithChannels(2) }]);
        yield return new KernelCase(new DenoiseStep(Clip: true), [x, x, CaseInput.Constant([6, 5]), CaseInput.Counter(3), x]);
        yield return new KernelCase(new Dropout(0.3f, 5, 6), [x, CaseInput.Counter(4)]);
        yield return new KernelCase(new GroupNorm(1, 1e-5f, Activation.Silu), [x, constant, CaseInput.Constant([c]), null]);
        yield return new KernelCase(new GroupNormGradInput(Activation.Silu), [x, affine, affine, x, new CaseInput([n, 4, c])]);
        yield return new KernelCase(new SumRows(RowGroups.Mean(n, 2)), [x with { Shape = [2 * n, h, w, c] }, null]);
        yield return new KernelCase(new SumRowsGradInput(RowGroups.Mean(n, 2)), [x]);
        yield return new KernelCase(new MseLoss(), [x, x, null]);
        yield return new KernelCase(new MseLossGradPrediction(), [x, x, null, new CaseInput([1])]);
        yield return new KernelCase(new Pool2d(PoolKind.Max, 3, 1, 1), [x]);
        yield return new KernelCase(new RepeatRows(RowGroups.Mean(n, 2)), [x, null]);
        yield return new KernelCase(new ScaleRows(), [x, new CaseInput([n])]);
        yield return new KernelCase(new Slice(1, c), [x with { Shape = x.Shape.WithChannels(5) }]);
        yield return new KernelCase(new TableRow(n), [CaseInput.Constant([3, h * w, c]), CaseInput.Counter(1)]);
        yield return new KernelCase(new UpsampleNearest(), [x]);
        yield return new KernelCase(new UpsampleNearestGradInput(), [twice]);
    }

    private static IEnumerable<KernelCase> Convolutions()
    {
        foreach ((int c, int o) in ((int, int)[])[(7, 31), (15, 63), (17, 65)])
        {
            CaseInput x = new([1, 5, 9, c]), weight = CaseInput.Weight([o, 3, 3, c]), row = new([1, 1, 9, c]);
            yield return new KernelCase(new Conv2d(1, 1), [x, weight, CaseInput.Constant([o]), null, null, null, null]);
            yield return new KernelCase(new Conv2d(1, 1), [x, weight with { IsConstant = false }, null, null, null, null, null]);
            yield return new KernelCase(new Conv2dGradWeight(1, 1, 0), [row, row with { Shape = row.Shape.WithChannels(o) }]);
        }
        foreach (int skip in (int[])[31, 65])
        {
            yield return new KernelCase(new Conv2d(1, 1),
                [new CaseInput([1, 5, 9, 33]), CaseInput.Weight([21, 3, 3, 40]), CaseInput.Constant([21]), new CaseInput([1, 5, 9, 7]),
                null, null, null,
                    new CaseInput([1, 5, 9, skip]), null, CaseInput.Weight([21, 1, 1, skip])]);
        }
        // So many pixels that they are summed in parts; weights of 255 elements, and of 2 * 256 + 1.
        foreach ((int c, int o) in ((int, int)[])[(3, 85), (19, 27)])
            yield return new KernelCase(new Conv2dGradWeight(1, 1, 0), [new CaseInput([1, 1, 512, c]), new CaseInput([1, 1, 512, o])]);
        foreach ((int side, int channels, int outputs) in ((int, int, int)[])[(7, 63, 3), (9, 65, 5)])
        {
            CaseInput many = new([2, side, side, outputs]);
            yield return new KernelCase(new DenoiseAverageStep(RowGroups.Mean(2, 2), Activation.Silu, Clip: true),
                [new CaseInput([4, side, side, channels]), many, CaseInput.Constant([4, 5]), CaseInput.Counter(2), many,
                new CaseInput([4, 2, channels]),
                    CaseInput.Weight([outputs, 3, 3, channels]), CaseInput.Constant([outputs])]);
        }
    }

    private static IEnumerable<KernelCase> Attentions()
    {
        foreach ((int h, int w, int heads, int d) in (
            (int, int, int, int)[])[(7, 9, 2, 64), (5, 13, 1, 64), (1, 127, 1, 64), (3, 43, 1, 64), (7, 9, 1, 128)])
        {
            CaseInput qkv = new([1, h, w, 3 * heads * d]), y = new([1, h, w, heads * d]);
            yield return new KernelCase(new Attention(heads), [qkv]);
            yield return new KernelCase(new AttentionGrad(heads), [qkv, y, y]);
        }
        // So many heads that a block takes twice the rows.
        yield return new KernelCase(new Attention(64), [new CaseInput([2, 1, 127, 3 * 64 * 8])]);
    }

    // Of 1020 and 1028 channels, vectors of four are 255 and 257 columns, and eight pixels a tile.
    private static IEnumerable<KernelCase> Norms()
    {
        foreach ((int h, int w, int c) in ((int, int, int)[])[(1, 7, 1020), (3, 3, 1028)])
        {
            CaseInput x = new([1, h, w, c]), affine = new([1, 2, c]), statistics = new([2, c], 3, 0.3);
            yield return new KernelCase(
                new GroupNormAffine(4, 1e-5f), [x, CaseInput.Constant([c], 1, 0.3), CaseInput.Constant([c]), null, null]);
            yield return new KernelCase(new GroupNormGradSums(4, Activation.Silu), [x, affine, affine, x]);
            yield return new KernelCase(new BatchNormStatistics(), [x]);
            yield return new KernelCase(new BatchNormGradAffine(), [x, statistics, x]);
            yield return new KernelCase(new AddEmbeddingGradEmbedding(), [x]);
        }
        foreach (int c in (int[])[127, 129, 255, 257])
        {
            CaseInput sums = new([1, 4, c]), vector = new([c]);
            yield return new KernelCase(new GroupNormGradAffine(), [sums, null]);
            yield return new KernelCase(new GroupNormGradFilm(), [sums, vector, vector]);
            yield return new KernelCase(new BatchNormRunning(RunningStatistic.Mean, 0.1f, 7), [vector, new CaseInput([2, c])]);
        }
    }

    private static IEnumerable<KernelCase> Products()
    {
        foreach ((int m, int i, int o) in ((int, int, int)[])[(3, 31, 15), (9, 33, 17), (7, 127, 15), (9, 129, 17)])
        {
            yield return new KernelCase(
                new Linear { OnStore = Activation.Silu }, [new CaseInput([m, i]), CaseInput.Weight([o, i]), CaseInput.Constant([o])]);
            yield return new KernelCase(new LinearGradInput(), [new CaseInput([m, o]), CaseInput.Weight([o, i])]);
            yield return new KernelCase(new LinearGradWeight(), [new CaseInput([m, o]), new CaseInput([m, i])]);
            yield return new KernelCase(new ChannelSum(), [new CaseInput([m, i])]);
        }
        yield return new KernelCase(new ChannelSum(), [new CaseInput([7, 31])]);
    }

    private static IEnumerable<KernelCase> Vectors()
    {
        yield return new KernelCase(new TimestepEmbedding(51), [new CaseInput([5], 500, 200)]);
        yield return new KernelCase(new TimestepEmbedding(57), [new CaseInput([9], 500, 200)]);
        // The last counts past 20 bits.
        foreach (int count in (int[])[1023, (1 << 20) + 1])
            yield return new KernelCase(new RandomNormal([count], 7, 3), [CaseInput.Counter(49), null]);
        // Pieces of 4096 elements, vectors of 4.
        var layout = new ParameterLayout([("a", [4095]), ("b", [4097]), ("c", [4096]), ("d", [8193])]);
        int all = layout.Shape[0];
        CaseInput[] gradients = [.. layout.Parameters.Select(p => new CaseInput(p.Shape))];
        yield return new KernelCase("Pack", gradients,
            (g, v) => [.. layout.Parameters.Select(p => g.View(g.Pack(layout, [.. v.Select(x => x!)]), p.Shape, p.Offset))]);
        yield return new KernelCase(new GradientNorm(layout), [new CaseInput([all])]);
        yield return new KernelCase("Adam",
            [new CaseInput([Adam.Rows, all], 1, 0.1), new CaseInput([all]), new CaseInput([1], 2, 0.1), new CaseInput([2], 0.02, 0.001),
            CaseInput.Counter(4)], (g, v) =>
            {
                Value next = g.Adam(layout, new AdamOptions(), v[0]!, v[1]!, v[2]!, v[3]!, v[4]!);
                return [.. Enumerable.Range(0, Adam.Rows)
                    .SelectMany(r => layout.Parameters.Select(p => g.View(next, p.Shape, r * (long)all + p.Offset)))];
            });
    }

    private static IEnumerable<KernelCase> Cosines()
    {
        foreach ((int vectors, int width) in ((int, int)[])[(7, 255), (9, 257)])
        {
            yield return new KernelCase(new PairwiseCosine(vectors), [new CaseInput([2, vectors * width], 1)]);
            yield return new KernelCase(new PairwiseCosineGrad(vectors), [new CaseInput([2, vectors * width]), new CaseInput([1])]);
        }
    }
}
