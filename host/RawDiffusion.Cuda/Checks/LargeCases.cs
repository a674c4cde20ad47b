using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Checks;

/// <summary>
/// An operator on as many images as kernels can count, past 2^31 and 2^32 bytes, of which a few are computed: those where numbers of
/// 16, 24, 31 and 32 bits end, the first and the last. For a device that holds only what is touched and runs the blocks that it is told.
/// </summary>
/// <param name="Name">The operator's name.</param>
/// <param name="Elements">Of the largest value, in each image.</param>
/// <param name="Most">Most images, where those of a grid are fewer.</param>
/// <param name="Operator">What is applied to so many images.</param>
/// <param name="Inputs">Its inputs for so many images, each with as many parts unless it is constant.</param>
public sealed record LargeCase(string Name, int Elements, int Most, Func<int, Operator> Operator, Func<int, CaseInput?[]> Inputs)
{
    /// <summary>How many images there are.</summary>
    public int Images => Math.Min(Most, Elementwise.MaxCount / Elements);

    /// <summary>Those that are computed, in order.</summary>
    public IReadOnlyList<int> Computed
    {
        get
        {
            long[] ends = [1L << 16, 1L << 24, 1L << 29, 1L << 30];
            return [.. ends.SelectMany(e => (long[])[(e - 1) / Elements, e / Elements]).Append(0).Append(Images - 1).Where(n => n < Images)
                .Select(n => (int)n).Distinct().Order()];
        }
    }

    /// <summary>The blocks that compute these images, of a grid in which they follow each other.</summary>
    /// <param name="blocks">Blocks of the launch.</param>
    public IEnumerable<long> Blocks(long blocks) => Computed.SelectMany(n =>
    {
        long first = n * blocks / Images, last = ((n + 1) * blocks - 1) / Images;
        return Enumerable.Range(0, (int)(last - first + 1)).Select(i => first + i);
    }).Distinct();

    /// <summary>Operator and shapes.</summary>
    public override string ToString() => $"{Name} {string.Join(" ", Inputs(Images).Select(i => i?.Shape.ToString() ?? "-"))}";
}

/// <summary>
/// Cases of every operator whose images are computed by themselves. What sums over a batch goes round a grid of a size of its own,
/// by the same indices.
/// </summary>
public static class LargeCases
{
    // Grids count so many images in y and z.
    private const int MostOfGrid = LaunchBuilder.MaxBlocks;

    // An image has as many elements as blocks have threads with the widest vectors, or a multiple.
    private const int H = 4, W = 16, C = 64, Image = H * W * C;

    /// <summary>All cases.</summary>
    public static IReadOnlyList<LargeCase> All { get; } = [.. Elements(), .. Grids()];

    private static IEnumerable<LargeCase> Elements()
    {
        CaseInput X(int n, int times = 1) => new([n, times * H, times * W, C]);
        var constant = CaseInput.Constant([C], 1, 0.3);
        LargeCase Of(Func<int, Operator> op, Func<int, CaseInput?[]> inputs, int elements = Image) =>
            new(op(1).Name, elements, int.MaxValue, op, inputs);

        yield return Of(_ => new Activate(Activation.Silu), n => [X(n)]);
        yield return Of(_ => new ActivateGrad(Activation.Silu), n => [X(n), X(n)]);
        yield return Of(_ => new Add(), n => [X(n), X(n)]);
        yield return Of(_ => new AddEmbedding(), n => [X(n), new([n, C])]);
        yield return Of(_ => new AddEmbeddingGradEmbedding(), n => [X(n)]);
        yield return Of(_ => new AvgPool2d(), n => [X(n, 2), null], 4 * Image);
        yield return Of(_ => new AvgPool2dGradInput(2 * H, 2 * W), n => [X(n)], 4 * Image);
        yield return Of(_ => new BatchNorm(),
            n => [X(n), constant, CaseInput.Constant([C]), CaseInput.Constant([C]), CaseInput.Constant([C], 5, 0.5)]);
        yield return Of(_ => new Concat(), n => [new([n, H, W, C / 2]), new([n, H, W, C / 2])]);
        yield return Of(_ => new DenoiseStep(Clip: true), n => [X(n), X(n), CaseInput.Constant([6, 5]), CaseInput.Counter(3), null]);
        yield return Of(_ => new GroupNorm(4, 1e-5f, Activation.Silu), n => [X(n), constant, CaseInput.Constant([C]), null]);
        yield return Of(_ => new GroupNormAffine(4, 1e-5f), n => [X(n), constant, CaseInput.Constant([C]), new([n, 2 * C]), null]);
        yield return Of(_ => new GroupNormGradSums(4, Activation.Silu), n => [X(n), new([n, 2, C]), new([n, 2, C]), X(n)]);
        yield return Of(_ => new GroupNormGradInput(Activation.Silu), n => [X(n), new([n, 2, C]), new([n, 2, C]), X(n), new([n, 4, C])]);
        yield return Of(n => new SumRows(RowGroups.Mean(n, 1)), n => [X(n), null]);
        yield return Of(n => new SumRowsGradInput(RowGroups.Mean(n, 1)), n => [X(n)]);
        yield return Of(_ => new Pool2d(PoolKind.Max, 3, 1, 1), n => [X(n)]);
        yield return Of(n => new RepeatRows(RowGroups.Mean(n, 1)), n => [X(n), null]);
        yield return Of(_ => new ScaleRows(), n => [X(n), new([n])]);
        yield return Of(_ => new Slice(C / 2, C), n => [new([n, H, W, 2 * C])], 2 * Image);
        yield return Of(_ => new UpsampleNearest(), n => [X(n)], 4 * Image);
        yield return Of(_ => new UpsampleNearestGradInput(), n => [X(n, 2)], 4 * Image);
    }

    private static IEnumerable<LargeCase> Grids()
    {
        const int elements = 8 * 64 * C;
        yield return new LargeCase("Conv2d", elements, MostOfGrid, _ => new Conv2d(1, 0) { OnLoad = Activation.Silu },
            n => [new([n, 8, 64, C]), CaseInput.Weight([C, 1, 1, C]), CaseInput.Constant([C]), null, new([n, 2, C]), null, null]);
        yield return new LargeCase(
            "DenoiseAverageStep", elements, MostOfGrid, n => new DenoiseAverageStep(RowGroups.Mean(n, 1), Activation.Silu, Clip: true),
            n => [new([n, 8, 64, C]), new([n, 8, 64, 4]), CaseInput.Constant([4, 5]), CaseInput.Counter(2), null, new([n, 2, C]),
            CaseInput.Weight([4, 3, 3, C]), CaseInput.Constant([4])]);
        yield return new LargeCase("Attention", 3 * 128 * 128, MostOfGrid, _ => new Attention(2), n => [new([n, 8, 16, 3 * 128])]);
        yield return new LargeCase("AttentionGrad", 3 * 128 * 128, MostOfGrid, _ => new AttentionGrad(2),
            n => [new([n, 8, 16, 3 * 128]), new([n, 8, 16, 128]), new([n, 8, 16, 128])]);
        // Eight rows of a tile for each image.
        yield return new LargeCase("Linear", 8 * 4096, MostOfGrid, _ => new Linear(),
            n => [new([8 * n, 4096]), CaseInput.Weight([16, 4096]), CaseInput.Constant([16])]);
        yield return new LargeCase(
            "LinearGradInput", 8 * 4096, MostOfGrid, _ => new LinearGradInput(), n => [new([8 * n, 16]), CaseInput.Weight([16, 4096])]);
    }
}
