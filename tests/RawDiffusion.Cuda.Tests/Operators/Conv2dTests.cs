using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Cuda.Tests.Compilation;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Reference;
using RawDiffusion.Testing;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>What only the CUDA device's convolution has: tiles to choose from, and norms that it finishes.</summary>
public sealed class Conv2dTests
{
    private static readonly KernelTolerance Tolerances = new(3e-6, 2e-3, 2e-2, 3e-3);

    /// <summary>A model chooses the tile, on a device that measures a clock does: none may be wrong.</summary>
    [Test]
    public void Every_tile_computes_the_convolution(
        [Values(Precision.Fp32, Precision.Tf32, Precision.Bf16)] Precision precision, [Values(1, 3)] int kernel)
    {
        // Prebuilt kernels have portable tiles alone.
        var compiler = new KernelCompiler(KernelSources.Embedded, Compiler.Nvrtc, KernelCache.OfUser);
        using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions { Architecture = 90 }), compiler, precision);
        var random = new Random(kernel);
        float[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => random.Next(-64, 65) / 32f)];
        // More than one tile in each direction, and the last one cut, for every tile; three chunks of the smallest size.
        Shape xs = [1, 9, 19, 36], ws = [68, kernel, kernel, 36], affines = [1, 2, 36];
        float[] x = Draw((int)xs.Count), weight = Draw((int)ws.Count), affine = Draw((int)affines.Count), bias = Draw(68);
        var op = new Conv2d(1, kernel / 2) { OnLoad = Activation.Silu };
        Array64 expected = Definition.Evaluate(op, [Wide(xs, x), Wide(ws, weight), Wide([68], bias), null, Wide(affines, affine)]);

        var g = new Graph();
        Value input = g.Apply(new Activate(Activation.None), [g.Input("x", xs)]);
        g.Output("y", g.Apply(new Activate(Activation.None),
            [g.Apply(op, [input, g.Constant("weight", ws, weight), g.Constant("bias", [68], bias), null, g.Input("affine", affines),
            null, null])]));
        int bytes = precision == Precision.Bf16 ? 2 : 4;
        var shape = new ConvShape(
            1, kernel == 1 ? 1 : 9, kernel == 1 ? 171 : 19, 68, kernel, 1, 36, 0, bytes, bytes, precision != Precision.Fp32, true, 4);
        ConvTile[] tiles = [.. ConvTiling.Candidates(shape)];
        Assert.That(tiles, Has.Length.GreaterThan(8));
        foreach (ConvTile tile in tiles)
        {
            using CudaExecutable executable = device.Compile(g, new CompileOptions { Fuse = false }, (_, _) => tile);
            Assert.That(executable.Launches.Select(l => l.Variant.ToString()),
                Has.Some.Contains($"TILE_H={tile.Height} TILE_W={tile.Width} TILE_O={tile.Columns}"));
            executable.Write("x", x);
            executable.Write("affine", affine);
            executable.Run();
            float[] found = new float[expected.Values.Length];
            found.AsSpan().Fill(float.NaN);
            executable.Read("y", found);
            int[] dimensions = [.. expected.Shape.Dimensions];
            Comparer.RequireClose($"{tile} in {precision}", dimensions, expected.Values, dimensions, [.. found.Select(v => (double)v)],
                Tolerances.Of(precision));
        }
    }

    /// <summary>Statistics of tiles, combined by an image's last block, against the norms' own kernels; two runs, bit for bit.</summary>
    [Test]
    public void Norms_that_convolutions_finish_are_those_of_their_own_kernels([Values] Precision precision)
    {
        using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions()), new KernelCompiler(), precision);
        var random = new Random(5);
        float[] Draw(long count) => [.. Enumerable.Range(0, (int)count).Select(_ => (float)(2 * random.NextDouble() - 1))];
        var g = new Graph();
        Value Fixed(string name, Shape shape) => g.Constant(name, shape, Draw(shape.Count));
        Value first = g.Conv2d(g.Input("x", [2, 13, 19, 24]), Fixed("w0", [32, 3, 3, 24]), Fixed("b0", [32]), 1, 1);
        Value normed = g.GroupNorm(first, Fixed("gamma0", [32]), Fixed("beta0", [32]), 16, Activation.Silu, film: g.Input("film", [2, 64]));
        Value second = g.Conv2d(normed, Fixed("w1", [48, 3, 3, 32]), Fixed("b1", [48]), 1, 1);
        // Five channels a group: one of them has channels of both tensors.
        Value joined = g.GroupNorm(g.Concat(second, first), Fixed("gamma1", [80]), Fixed("beta1", [80]), 16, Activation.Silu);
        Value y = g.Conv2d(joined, Fixed("w2", [20, 3, 3, 80]), Fixed("b2", [20]), 1, 1);
        g.Output("y", y);
        float[] x = Draw(2 * 13 * 19 * 24), film = Draw(128);

        float[][] Run(bool fuse, int finished)
        {
            using var executable = (CudaExecutable)device.Compile(g, new CompileOptions { Fuse = fuse });
            Assert.That(executable.Launches.Count(l => l.Variant.ToString().Contains("FINISH=1", StringComparison.Ordinal)),
                Is.EqualTo(finished));
            return [.. Enumerable.Range(0, 2).Select(_ =>
            {
                executable.Write("x", x);
                executable.Write("film", film);
                executable.Run();
                float[] found = new float[y.Shape.Count];
                found.AsSpan().Fill(float.NaN);
                executable.Read("y", found);
                return found;
            })];
        }

        float[][] fused = Run(true, 2);
        Assert.That(fused[1], Is.EqualTo(fused[0]));
        int[] dimensions = [.. y.Shape.Dimensions];
        Comparer.RequireClose($"{precision}", dimensions, [.. Run(false, 0)[0].Select(v => (double)v)], dimensions,
            [.. fused[0].Select(v => (double)v)], Tolerances.Of(precision));
    }

    private static Array64 Wide(Shape shape, float[] values) => new(shape, [.. values.Select(v => (double)v)]);
}
