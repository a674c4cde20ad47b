using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Checks;

/// <summary>Cases of the operators that training needs: gradients with random cotangents, losses, batch statistics.</summary>
internal static class TrainingCases
{
    public static IEnumerable<KernelCase> All() =>
        [.. Convolutions(), .. Attentions(), .. Norms(), .. Products(), .. Movements(), .. Losses(), .. Optimizer()];

    private static IEnumerable<KernelCase> Convolutions()
    {
        // Batch, height, width, input and output channels, kernel, stride, padding.
        foreach (int[] s in (int[][])
            [[1, 1, 1, 1, 1, 1, 1, 0], [2, 5, 7, 33, 20, 3, 1, 1], [1, 9, 8, 16, 48, 3, 2, 1], [1, 6, 9, 20, 33, 1, 1, 0],
                [2, 16, 16, 64, 32, 3, 1, 1], [1, 7, 7, 3, 64, 3, 1, 1],
             [1, 6, 5, 4, 3, 5, 1, 2], [0, 5, 5, 16, 16, 3, 1, 1], [3, 9, 9, 16, 128, 3, 2, 1], [1, 17, 33, 40, 72, 3, 1, 1]])
        {
            int height = (s[1] + 2 * s[7] - s[5]) / s[6] + 1, width = (s[2] + 2 * s[7] - s[5]) / s[6] + 1;
            CaseInput x = new([s[0], s[1], s[2], s[3]]), dy = new([s[0], height, width, s[4]]);
            var weight = CaseInput.Weight([s[4], s[5], s[5], s[3]]);
            yield return new KernelCase(new Conv2dGradInput(s[6], s[7], s[1], s[2]), [dy, weight]);
            // Weights that change from step to step are packed on the device.
            yield return new KernelCase(new Conv2dGradInput(s[6], s[7], s[1], s[2]), [dy, weight with { IsConstant = false }]);
            yield return new KernelCase(new Conv2d(s[6], s[7]), [x, weight with { IsConstant = false }, null, null, null, null, null]);
            yield return new KernelCase(new Conv2dGradWeight(s[5], s[6], s[7]), [x, dy]);
        }
        var fine = new CaseInput([2, 16, 16, 64]) { HasAllBits = true };
        yield return new KernelCase(new Conv2dGradWeight(3, 1, 1), [fine, fine with { Shape = [2, 16, 16, 32] }]);
    }

    private static IEnumerable<KernelCase> Attentions()
    {
        foreach ((int n, int h, int w, int heads, int d) in ((int, int, int, int, int)[])
            [(1, 1, 1, 1, 8), (2, 3, 5, 3, 20), (1, 7, 11, 2, 33), (2, 8, 8, 1, 64), (1, 9, 15, 2, 64), (1, 5, 13, 1, 128)])
        {
            CaseInput y = new([n, h, w, heads * d]);
            yield return new KernelCase(new AttentionGrad(heads), [new CaseInput([n, h, w, 3 * heads * d]), y, y]);
        }
        // Each part by itself, so that operands cut off in one of them are not lost among the others; delta is small beside dp.
        var fine = new CaseInput([2, 8, 8, 64]) { HasAllBits = true };
        yield return new KernelCase(
            "AttentionGrad", [fine with { Shape = [2, 8, 8, 3 * 64] }, fine with { Deviation = 0.05 }, fine], (g, v) =>
        {
            Value dqkv = g.Apply(new AttentionGrad(1), [.. v]);
            return [.. new[] { 0, 64, 128 }.Select(first => g.Apply(new Slice(first, 64), [dqkv]))];
        });
        // Scores that grow from tile to tile, and of millions.
        CaseInput many = new([1, 3, 67, 64]);
        yield return new KernelCase(new AttentionGrad(1), [new CaseInput([1, 3, 67, 3 * 64], 3, 0.9) { Rises = true }, many, many]);
        CaseInput some = new([1, 3, 5, 32]);
        yield return new KernelCase(new AttentionGrad(2), [new CaseInput([1, 3, 5, 96], 0, 100), some, some]);
        // Rows whose scores are all below -128: what is beyond the end, of score 0, is infinite beside them.
        CaseInput few = new([4, 1, 2, 64]);
        yield return new KernelCase(new AttentionGrad(8), [new CaseInput([4, 1, 2, 3 * 64], 0, 12), few, few]);
    }

    private static IEnumerable<KernelCase> Norms()
    {
        foreach ((int n, int h, int w, int c, int groups) in ((int, int, int, int, int)[])
            [(2, 7, 9, 32, 16), (1, 1, 1, 64, 16), (2, 30, 31, 19, 19), (1, 16, 16, 80, 4), (3, 5, 5, 24, 1), (1, 2, 3, 1028, 4)])
        {
            CaseInput x = new([n, h, w, c]), affine = new([n, 2, c]), sums = new([n, 4, c]), vector = new([c]);
            foreach (Activation activation in (Activation[])[Activation.None, Activation.Silu])
            {
                yield return new KernelCase(new GroupNormGradSums(groups, activation), [x, affine, affine, x]);
                yield return new KernelCase(new GroupNormGradInput(activation), [x, affine, affine, x, sums]);
            }
            yield return new KernelCase(new GroupNormGradAffine(), [sums, null]);
            yield return new KernelCase(new GroupNormGradAffine(), [sums, new CaseInput([n, 2 * c])]);
            yield return new KernelCase(new GroupNormGradFilm(), [sums, vector, vector]);
            CaseInput statistics = new([2, c], 3, 0.3), two = new([2, c]);
            yield return new KernelCase(new BatchNormStatistics(), [x]);
            // Elements of 24 bits: what is added up must not be rounded before.
            CaseInput fine = x with { HasAllBits = true };
            yield return new KernelCase(new BatchNormStatistics(), [fine]);
            yield return new KernelCase(new BatchNormGradAffine(), [fine, new CaseInput([2, c], 3, 0.3), fine]);
            yield return new KernelCase(new GroupNormGradSums(groups, Activation.Silu), [fine, affine, affine, fine]);
            yield return new KernelCase(
                new GroupNormAffine(groups, 1e-5f), [fine, CaseInput.Constant([c], 1, 0.3), CaseInput.Constant([c]), null, null]);
            yield return new KernelCase(new AddEmbeddingGradEmbedding(), [fine]);
            yield return new KernelCase(new BatchNormTrain(), [x, vector, vector, statistics]);
            yield return new KernelCase(new BatchNormRunning(RunningStatistic.Mean, 0.1f, 7), [vector, two]);
            yield return new KernelCase(new BatchNormRunning(RunningStatistic.Variance, 0.1f, 7), [vector, two]);
            yield return new KernelCase(new BatchNormGradAffine(), [x, statistics, x]);
            yield return new KernelCase(new BatchNormGradInput(), [x, vector, statistics, x, two]);
            // A variance that epsilon counts against.
            CaseInput small = new([2, c], 2e-4, 2e-5);
            yield return new KernelCase(new BatchNormGradAffine(), [x, small, x]);
            yield return new KernelCase(new BatchNormGradInput(), [x, vector, small, x, two]);
        }
    }

    private static IEnumerable<KernelCase> Products()
    {
        foreach ((int m, int i, int o) in ((int, int, int)[])[(1, 1, 1), (3, 33, 20), (4, 256, 192), (65, 64, 70), (2, 1000, 17)])
        {
            yield return new KernelCase(new LinearGradInput(), [new CaseInput([m, o]), CaseInput.Weight([o, i])]);
            yield return new KernelCase(new LinearGradWeight(), [new CaseInput([m, o]), new CaseInput([m, i])]);
            yield return new KernelCase(new ChannelSum(), [new CaseInput([m, i])]);
        }
        yield return new KernelCase(new ChannelSum(), [new CaseInput([2, 13, 17, 64])]);
        yield return new KernelCase(new ChannelSum(), [new CaseInput([1, 31, 32, 264])]);
        yield return new KernelCase(new ChannelSum(), [new CaseInput([2, 13, 17, 64]) { HasAllBits = true }]);
    }

    private static IEnumerable<KernelCase> Movements()
    {
        foreach (Shape shape in (Shape[])[[2, 6, 10, 64], [1, 5, 7, 33], [1, 3, 7, 2]])
        {
            CaseInput x = new(shape);
            (int n, int h, int w, int c) = (shape[0], shape[1], shape[2], shape[3]);
            yield return new KernelCase(new ActivateGrad(Activation.Silu), [x, x]);
            yield return new KernelCase(new ActivateGrad(Activation.Relu), [x, x]);
            yield return new KernelCase(new AddEmbeddingGradEmbedding(), [x]);
            yield return new KernelCase(new AvgPool2dGradInput(h, w), [new CaseInput([n, h / 2, w / 2, c])]);
            yield return new KernelCase(new UpsampleNearestGradInput(), [new CaseInput([n, 2 * h, 2 * w, c])]);
            yield return new KernelCase(new Slice(c / 3, c / 2), [x]);
            yield return new KernelCase(new Dropout(0.3f, 5, 6, (4L << 32) - 8), [x, CaseInput.Counter(w)]);
        }
        // More than one tile of more than one image.
        yield return new KernelCase(new AddEmbeddingGradEmbedding(), [new CaseInput([2, 30, 31, 19])]);
        var corners = new CaseInput([2, 3, 5, 8]) { HasCorners = true };
        yield return new KernelCase(new ActivateGrad(Activation.Relu), [corners, new CaseInput([2, 3, 5, 8])]);
        // What is dropped is zero even if it was not a number.
        yield return new KernelCase(new Dropout(0.9f, 5, 6), [corners, CaseInput.Counter(4)]);
        var groups = new RowGroups([2, 0, 3], [0.5f, -1, 2, 0.25f, 1]);
        yield return new KernelCase(new SumRowsGradInput(groups), [new CaseInput([3, 5, 6, 33])]);
    }

    private static IEnumerable<KernelCase> Losses()
    {
        CaseInput x = new([3, 9, 11, 3]), weights = new([3]), dloss = new([1]);
        // More than one round of the largest grid.
        CaseInput large = new([3, 128, 700, 1]);
        yield return new KernelCase(new MseLoss(), [large, large, weights]);
        // Elements of 24 bits: what is added up must not be rounded before.
        CaseInput fine = x with { HasAllBits = true };
        yield return new KernelCase(new MseLoss(), [fine, fine, null]);
        yield return new KernelCase(new MseLoss(), [x, x, null]);
        yield return new KernelCase(new MseLoss(), [x, x, weights]);
        yield return new KernelCase(new MseLossGradPrediction(), [x, x, weights, dloss]);
        yield return new KernelCase(new MseLossGradPrediction(), [x, x, null, dloss]);
    }

    // One element, ragged ends, several pieces; elements between parameters mean nothing and are not compared.
    private static IEnumerable<KernelCase> Optimizer()
    {
        var layout = new ParameterLayout([("a", [1]), ("b", [7, 3]), ("c", [4099]), ("d", [3, 3, 64])]);
        int count = layout.Shape[0];
        Value[] Rows(Graph g, Value all, int rows) =>
            [.. Enumerable.Range(0, rows).SelectMany(r => layout.Parameters.Select(p => g.View(all, p.Shape, r * (long)count + p.Offset)))];
        CaseInput[] gradients = [.. layout.Parameters.Select(p => new CaseInput(p.Shape))];
        yield return new KernelCase("Pack", gradients, (g, v) => Rows(g, g.Pack(layout, [.. v.Select(x => x!)]), 1));
        // Half of them are computed in their places where memory is shared, one in another pack's.
        yield return new KernelCase("Pack", gradients, (g, v) =>
        {
            Value[] values = [.. v.Select((x, i) => i % 2 == 0 ? g.Silu(x!) : x!)];
            return [.. Rows(g, g.Pack(layout, values), 1), .. Rows(g, g.Pack(layout, values), 1)];
        });
        var scale = new CaseInput([LossScale.Length], 4, 0.5);
        yield return new KernelCase(new GradientNorm(layout), [new CaseInput([count])]);
        yield return new KernelCase(new GradientNorm(layout), [new CaseInput([count]) { HasAllBits = true }]);
        // More pieces than a block has threads.
        var many = new ParameterLayout([.. Enumerable.Range(0, 300).Select<int, (string, Shape)>(i => ($"p{i}", [1]))]);
        yield return new KernelCase(new GradientNorm(many), [new CaseInput(many.Shape)]);
        // Norms that clip and that do not, one that its epsilon counts against, one that is not a number; at last the first
        // step, where 1 - beta^t is smallest, at a rate that makes it the most of the result.
        foreach ((AdamOptions options, double norm, double rate, int step) in ((AdamOptions, double, double, int)[])
            [(new(), 2, 0.02, 4), (new() { WeightDecay = 0.1, MaxNorm = 1 }, 2, 0.02, 4),
                (new() { WeightDecay = 0.1, Decoupled = true, MaxNorm = 1 }, 2, 0.02, 4),
             (new() { MaxNorm = 5 }, 2, 0.02, 4), (new() { MaxNorm = 1e-6 }, 3e-6, 0.02, 4), (new() { MaxNorm = 1 }, double.NaN, 0.02, 4),
             (new() { MaxNorm = 1 }, double.PositiveInfinity, 0.02, 4), (new() { Beta2 = 0.9999 }, 2, 100, 0)])
        {
            yield return new KernelCase(
                "Adam", State(norm, rate, step), (g, v) => Rows(g, g.Adam(layout, options, v[0]!, v[1]!, v[2]!, v[3]!, v[4]!), Adam.Rows));
        }
        // With a scaled loss: a step that is done, one that is skipped, and what becomes of the scale.
        yield return new KernelCase(new GradientNorm(layout), [new CaseInput([count]), scale]);
        // Good steps, the last of a row, one where doubling would overflow; norms that are not finite.
        foreach ((double size, double row, double norm) in ((double, double, double)[])
            [(4, 3, 1), (65536, LossScale.Interval - 1, float.MaxValue), (2.5521178e38f, LossScale.Interval - 1, 1),
             (65536, 17, double.PositiveInfinity), (65536, LossScale.Interval - 1, double.NaN), (1, 0, double.NegativeInfinity)])
        {
            yield return new KernelCase(
            new LossScale(), [new CaseInput([LossScale.Length]) { Elements = [size, row, 2] }, new CaseInput([1]) { Elements = [norm] }]);
        }
        // Gradients that are not finite, by themselves and where they are squared.
        foreach (double gradient in (double[])[double.NaN, double.PositiveInfinity])
        {
            yield return new KernelCase(new GradientNorm(layout), [new CaseInput([count], gradient, 0)]);
            yield return new KernelCase(new GradientNorm(layout), [new CaseInput([count], gradient, 0), scale]);
        }
        yield return new KernelCase(new GradientNorm(layout), [new CaseInput([count]) { HasCorners = true }, scale]);
        foreach (double norm in (double[])[2, double.NaN, double.PositiveInfinity])
        {
            yield return new KernelCase("Adam", [.. State(norm, 0.02, 4), scale with { Deviation = 0 }],
                (g, v) => Rows(g, g.Adam(layout, new() { MaxNorm = 1 }, v[0]!, v[1]!, v[2]!, v[3]!, v[4]!, v[5]), Adam.Rows));
        }
        CaseInput[] State(double norm, double rate, int step) =>
            [new CaseInput([Adam.Rows, count], 1, 0.1), new CaseInput([count]), new CaseInput([1], norm, 0.05 * norm),
            new CaseInput([2], rate, 0.05 * rate), CaseInput.Counter(step)];
        // A part that begins between two boundaries of vectors.
        yield return new KernelCase("View", [new CaseInput([37])], (g, v) => [g.Silu(g.View(v[0]!, [2, 12], 5))]);
        foreach (Shape shape in (Shape[])[[3, 5, 7, 3], [2, 6, 10, 64], [4, 40], [0, 3]])
            yield return new KernelCase(new ScaleRows(), [new CaseInput(shape), new CaseInput([shape[0]])]);
        foreach ((int rows, int vectors, int width) in ((int, int, int)[])[(1, 1, 1), (3, 4, 33), (2, 9, 64), (5, 2, 300)])
        {
            yield return new KernelCase(new PairwiseCosine(vectors), [new CaseInput([rows, vectors * width], 1)]);
            yield return new KernelCase(
                new PairwiseCosine(vectors), [new CaseInput([rows, vectors * width], 1) { HasAllBits = true }]);
            yield return new KernelCase(
                new PairwiseCosineGrad(vectors), [new CaseInput([rows, vectors * width]), new CaseInput([1])]);
        }
        // Too short to have a direction.
        CaseInput small = new([3, 4 * 33], 5e-14, 1e-13);
        yield return new KernelCase(new PairwiseCosine(4), [small]);
        yield return new KernelCase(new PairwiseCosineGrad(4), [small, new CaseInput([1])]);
    }
}
