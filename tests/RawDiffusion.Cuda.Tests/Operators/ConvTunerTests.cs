using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Tests.Compilation;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>Tiles that are timed: on the emulator, whose clock counts work, all but the times is as on a GPU.</summary>
public sealed class ConvTunerTests
{
    private static readonly CompileOptions Options = new();

    private readonly List<string> told = [];
    private CountingCompiler compiler = null!;

    [SetUp]
    public void FindCompiler() => compiler = new(new KernelCompiler(KernelSources.Embedded, Compiler.Nvrtc, KernelCache.OfUser));

    [Test]
    public void All_that_is_timed_is_compiled_at_once_and_choices_are_kept()
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("tiles.txt");
        Graph graph = TwoConvolutions();
        float[] expected = Run(graph, null), found = Run(graph, file);
        Assert.That(found, Is.EqualTo(expected).Within(1e-5));
        Assert.That(found.Max() - found.Min(), Is.GreaterThan(1));
        Assert.That(told, Has.Count.EqualTo(1));
        Assert.That(told[0], Does.Contain($"compiling {compiler.Counts[1]} kernels").And.Contain("of 2 convolutions;"),
            "none was asked for after those");
        Assert.That(File.ReadAllLines(file), Has.Length.EqualTo(2).And.All.Contain("Conv2d").And.All.Contain(" = "));

        // Known tiles are taken, without compiling any other.
        Assert.That(Run(graph, file), Is.EqualTo(found));
        Assert.That((told.Count, compiler.Counts[2]), Is.EqualTo((1, compiler.Counts[0])));

        // A tile of another version is chosen again, what is no tile at all is passed over.
        string[] lines = File.ReadAllLines(file);
        File.WriteAllLines(file, [lines[0][..lines[0].LastIndexOf('=')] + "= 3x5x7 1x1x1 9", "rubbish", lines[1]]);
        Assert.That(Run(graph, file), Is.EqualTo(found));
        Assert.That(told, Has.Count.EqualTo(2));
        Assert.That(told[1], Does.Contain("of 1 convolution;"));
    }

    // With choices in a file, or by the model where that is null.
    private float[] Run(Graph graph, string? file)
    {
        compiler.Counts.Add(0);
        using var context = new CudaContext(new EmulatedDriver(), compiler, Precision.Fp32, specialize: true, null);
        var tuner = new ConvTuner(context, file, told.Add);
        using CudaExecutable executable = new CudaDevice(context)
            .Compile(graph, Options, file is null ? null : tuner.TilesFor(new PreparedGraph(graph), Options));
        executable.Write("x", [.. Enumerable.Range(0, 2 * 6 * 5 * 8).Select(i => MathF.Sin(i))]);
        executable.Run();
        float[] y = new float[2 * 6 * 5 * 12];
        executable.Read("y", y);
        return y;
    }

    private static Graph TwoConvolutions()
    {
        var g = new Graph();
        Value Weight(string name, Shape shape) =>
            g.Constant(name, shape, [.. Enumerable.Range(0, (int)shape.Count).Select(i => MathF.Cos(i) / 4)]);
        Value x = g.Conv2d(g.Input("x", [2, 6, 5, 8]), Weight("first", [12, 3, 3, 8]), null, padding: 1);
        g.Output("y", g.Conv2d(x, Weight("second", [12, 1, 1, 12]), null));
        return g;
    }

    /// <summary>Counts what is asked for, in the last of <see cref="Counts"/>.</summary>
    private sealed class CountingCompiler(IKernelCompiler inner) : IKernelCompiler
    {
        public List<int> Counts { get; } = [];

        public bool CanCompile => inner.CanCompile;

        public byte[] Compile(KernelVariant variant, string target)
        {
            lock (Counts) Counts[^1]++;
            return inner.Compile(variant, target);
        }
    }
}
