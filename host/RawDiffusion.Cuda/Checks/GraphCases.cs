using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Checks;

/// <summary>
/// Small graphs, for what no operator alone shows: group norms that the convolutions before them finish, launches that
/// several nodes share, counters that must be zero again, launches that must wait for each other.
/// </summary>
internal static class GraphCases
{
    private const float Epsilon = 1e-5f;

    public static IEnumerable<KernelCase> All() => [.. Norms(), .. Statistics(), .. Joined(), .. Pools(), .. Products(), Steps(), Block()];

    // A convolution, the norm that it finishes, and the convolution that reads it.
    private static IEnumerable<KernelCase> Norms()
    {
        foreach ((int n, int h, int w, int c, int o, int groups, int kernel, int stride) in ((int, int, int, int, int, int, int, int)[])
            [(2, 13, 17, 20, 48, 16, 3, 1), (3, 9, 7, 8, 33, 3, 3, 2), (2, 5, 30, 24, 144, 2, 1, 1)])
        {
            CaseInput x = new([n, h, w, c]), weight = CaseInput.Weight([o, kernel, kernel, c]), next = CaseInput.Weight([20, 3, 3, o]);
            CaseInput bias = CaseInput.Constant([o], 4, 1), gamma = CaseInput.Constant([o], 1, 0.3), beta = CaseInput.Constant(
                [o]), film = new([n, 2 * o]);
            CaseBuilder build = (g, v) =>
            {
                Value a = g.Conv2d(v[0]!, v[1]!, v[2], stride, kernel / 2);
                Value normal = g.GroupNorm(a, v[3]!, v[4]!, groups, Activation.Silu, v[5], Epsilon);
                return [g.Conv2d(normal, v[6]!, null, padding: 1)];
            };
            yield return new KernelCase("GraphNorm", [x, weight, bias, gamma, beta, film, next], build);
            yield return new KernelCase("GraphNorm", [x, weight, bias, gamma, beta, null, next], build);
        }
    }

    // Statistics are those of the tensor as it is stored, which the norm's reader will read: here rounding moves every value by as much
    // as it deviates from the mean.
    private static IEnumerable<KernelCase> Statistics()
    {
        foreach ((int n, int h, int w, int o, int groups) in ((int, int, int, int, int)[])[(2, 7, 9, 48, 16), (1, 5, 13, 33, 3)])
        {
            yield return new KernelCase("GraphStatistics",
                [new CaseInput([n, h, w, 20], 0, 0.05), CaseInput.Weight([o, 3, 3, 20]), CaseInput.Constant([o], 8, 1),
                CaseInput.Constant([o], 1, 0.3), CaseInput.Constant([o])],
                (g, v) =>
                {
                    Value y = g.Conv2d(v[0]!, v[1]!, v[2], padding: 1);
                    return [y, g.Apply(new GroupNormAffine(groups, Epsilon), [y, v[3]!, v[4]!, null, null])];
                })
            { ReadsStored = true };
        }
    }

    // The same with a skip connection: groups of the first tensor, of the second, and of both.
    private static IEnumerable<KernelCase> Joined()
    {
        foreach ((int n, int h, int w, int o, int o2, int groups) in ((int, int, int, int, int, int)[])
            [(2, 11, 18, 20, 28, 3), (3, 6, 5, 40, 24, 16), (2, 8, 8, 24, 72, 2)])
        {
            CaseInput x = new([n, h, w, 12]), gamma = CaseInput.Constant([o + o2], 1, 0.3), beta = CaseInput.Constant([o + o2]);
            yield return new KernelCase("GraphJoined",
                [x, CaseInput.Weight([o2, 3, 3, 12]), CaseInput.Constant([o2], 3, 1), CaseInput.Weight([o, 1, 1, o2]),
                CaseInput.Constant([o], -2, 1), gamma, beta, new CaseInput([n, 2 * (o + o2)]),
                    CaseInput.Weight([33, 3, 3, o + o2]), CaseInput.Weight([33, 1, 1, o + o2])],
                (g, v) =>
                {
                    Value skip = g.Conv2d(v[0]!, v[1]!, v[2], padding: 1);
                    Value joined = g.Concat(g.Conv2d(skip, v[3]!, v[4]), skip);
                    Value normal = g.GroupNorm(joined, v[5]!, v[6]!, groups, Activation.Silu, v[7], Epsilon);
                    return [g.Add(g.Conv2d(normal, v[8]!, null, padding: 1), g.Conv2d(joined, v[9]!, null))];
                });
        }
    }

    // The two pools of a block that halves its input: one launch.
    private static IEnumerable<KernelCase> Pools()
    {
        foreach (Shape shape in (Shape[])[[2, 7, 10, 24], [1, 5, 9, 7]])
        {
            int c = shape[3];
            yield return new KernelCase("GraphPools", [new CaseInput(shape), CaseInput.Constant([c], 1, 0.3), CaseInput.Constant([c])],
                (g, v) => [g.AvgPool2d(v[0]!), g.AvgPool2d(g.GroupNorm(v[0]!, v[1]!, v[2]!, 1, Activation.Silu))]);
        }
    }

    // The embeddings of several blocks: one launch, whole and in parts of the depth.
    private static IEnumerable<KernelCase> Products()
    {
        foreach ((int m, int i) in ((int, int)[])[(3, 65), (9, 64), (19, 2048)])
        {
            yield return new KernelCase("GraphLinears",
                [new CaseInput([m, i]), CaseInput.Weight([20, i]), CaseInput.Constant([20]), CaseInput.Weight([33, i]), null,
                CaseInput.Weight([7, i]), CaseInput.Constant([7])],
                (g, v) => [g.Linear(v[0]!, v[1]!, v[2]), g.Linear(v[0]!, v[3]!, v[4]), g.Linear(v[0]!, v[5]!, v[6])]);
        }
    }

    // A counter cannot be read: what it chooses can.
    private static KernelCase Steps() =>
        new("GraphSteps", [CaseInput.Constant([5, 3, 7]), CaseInput.Counter(2)], (g, v) => [g.TableRow(v[0]!, g.NextStep(v[1]!))]);

    // A residual block with attention: two images, embeddings, a skip convolution, a halved copy.
    private static KernelCase Block()
    {
        const int n = 2, h = 6, w = 10, c = 24, o = 48;
        CaseInput one = CaseInput.Constant([c], 1, 0.3), wide = CaseInput.Constant([o], 1, 0.3);
        return new KernelCase("GraphBlock",
            [new CaseInput([n, h, w, 3]), CaseInput.Weight([c, 3, 3, 3]), one, CaseInput.Constant([c]), new CaseInput([n, 40]),
            CaseInput.Weight([o, 40]), CaseInput.Constant([o]),
                CaseInput.Weight([2 * o, 40]), CaseInput.Weight([o, 3, 3, c]), wide, CaseInput.Constant([o]), CaseInput.Weight(
                [o, 3, 3, o]), CaseInput.Weight([o, 1, 1, c]),
                wide, CaseInput.Constant([o]), CaseInput.Weight([3 * o, 1, 1, o]), CaseInput.Weight([o, 1, 1, o]), wide,
                CaseInput.Constant([o])],
            (g, v) =>
            {
                Value x = g.Conv2d(v[0]!, v[1]!, null, padding: 1);
                Value a = g.Conv2d(g.GroupNorm(x, v[2]!, v[3]!, 8, Activation.Silu), v[8]!, null, padding: 1);
                a = g.AddEmbedding(a, g.Linear(v[4]!, v[5]!, v[6]));
                Value b = g.GroupNorm(a, v[9]!, v[10]!, 16, Activation.Silu, g.Linear(v[4]!, v[7]!, null));
                Value y = g.Add(g.Conv2d(x, v[12]!, null), g.Conv2d(b, v[11]!, null, padding: 1));
                Value qkv = g.Conv2d(g.GroupNorm(y, v[13]!, v[14]!, 16), v[15]!, null);
                y = g.Add(y, g.Conv2d(g.Attention(qkv, 2), v[16]!, null));
                return [y, g.AvgPool2d(g.GroupNorm(y, v[17]!, v[18]!, 16, Activation.Silu)), g.AvgPool2d(y)];
            });
    }
}
