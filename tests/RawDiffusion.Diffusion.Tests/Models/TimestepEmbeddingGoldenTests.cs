using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Models;

public sealed class TimestepEmbeddingGoldenTests
{
    [Test]
    public void EveryDimension()
    {
        using TensorFile golden = Goldens.Open("schedules");
        string[] names = [.. golden.Names.Where(n => n.StartsWith("temb/dim", StringComparison.Ordinal))];
        Assert.That(names, Is.Not.Empty);
        float[] t = golden["temb/t"].ToSingles();
        foreach (string name in names)
        {
            IReadOnlyList<int> shape = golden[name].Shape;
            var g = new Graph();
            g.Output("y", g.TimestepEmbedding(g.Constant("t", [t.Length], t), shape[1]));
            using IExecutable executable = GoldenModel.Device.Compile(g);
            executable.Run();
            float[] found = new float[shape[0] * shape[1]];
            executable.Read("y", found);
            Comparer.RequireClose(name, golden[name], shape, found, Tolerance.Absolute(1e-4));
        }
    }
}
