using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Tests.Contract;

namespace RawDiffusion.Engine.Tests.Operators;

/// <summary>Operators together, as the authors' blocks put them together: fused by the passes, and not.</summary>
public sealed class BlockGoldenTests
{
    [Test]
    public void Residual_blocks([ValueSource(nameof(ResBlocks))] string name, [Values] bool fuse)
    {
        var golden = new GoldenOp(name);
        bool up = name.EndsWith("_up", StringComparison.Ordinal), down = name.EndsWith("_down", StringComparison.Ordinal);
        OperatorContract.Check(
            new CompileOptions { Fuse = fuse }, "Golden",
            (g, v) =>
            {
                Value Param(string p) => Constant(g, golden, "param." + p);
                Value Resampled(Value value) => up ? g.UpsampleNearest(value) : down ? g.AvgPool2d(value) : value;
                Value h = g.GroupNorm(v[0]!, Param("in_layers.0.weight"), Param("in_layers.0.bias"), 16, Activation.Silu);
                h = g.Conv2d(Resampled(h), Param("in_layers.2.weight"), Param("in_layers.2.bias"), 1, 1);
                Value e = g.Linear(g.Silu(v[1]!), Param("emb_layers.1.weight"), Param("emb_layers.1.bias"));
                bool film = name.Contains("scaleshift", StringComparison.Ordinal);
                if (!film) h = g.AddEmbedding(h, e);
                h = g.GroupNorm(h, Param("out_layers.0.weight"), Param("out_layers.0.bias"), 16, Activation.Silu, film ? e : null);
                h = g.Conv2d(h, Param("out_layers.3.weight"), Param("out_layers.3.bias"), 1, 1);
                Value skip = Resampled(v[0]!);
                if (golden.Has("param.skip_connection.weight"))
                    skip = g.Conv2d(skip, Param("skip_connection.weight"), Param("skip_connection.bias"));
                return g.Add(skip, h);
            },
            _ => golden.Image("out"),
            golden.Input("x"), Argument.Of(golden.Plain("emb")));
    }

    [Test]
    public void Encoder_block([Values] bool fuse)
    {
        var golden = new GoldenOp("basicblock_6_eval");
        OperatorContract.Check(
            new CompileOptions { Fuse = fuse }, "Golden",
            (g, v) =>
            {
                Value ConvNorm(Value x, int i) => g.BatchNorm(
                    g.Conv2d(x, Constant(g, golden, $"param.conv{i}.weight"), null, 1, 1),
                    Constant(g, golden, $"param.bn{i}.weight"), Constant(g, golden, $"param.bn{i}.bias"),
                    Constant(g, golden, $"buf.bn{i}.running_mean"), Constant(g, golden, $"buf.bn{i}.running_var"));
                return g.Relu(g.Add(ConvNorm(g.Relu(ConvNorm(v[0]!, 1)), 2), v[0]!));
            },
            _ => golden.Image("out"),
            golden.Input("x"));
    }

    private static string[] ResBlocks => GoldenOp.Names("resblock_");

    private static Value Constant(Graph g, GoldenOp golden, string tensor)
    {
        Array64 data = golden.Plain(tensor);
        if (data.Shape.Rank == 4) data = golden.ConvWeight(tensor);
        return g.Constant(tensor, data.Shape, data.ToSingles());
    }
}
