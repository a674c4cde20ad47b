using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>Gradients that PyTorch computed in double precision: goldens/README.md, ops.safetensors.</summary>
public sealed class GoldenGradTests
{
    private const float Epsilon = 1e-5f;
    private static readonly Lazy<TensorFile> Ops = new(() => Goldens.Open("ops"));

    [TestCase("groupnorm16_c48_13x5", Activation.None, 1e-5)]
    [TestCase("groupnorm16_silu_c16_7x5", Activation.Silu, 1e-5)]
    [TestCase("groupnorm16_silu_c48_7x5", Activation.Silu, 1e-5)]
    [TestCase("groupnorm16_silu_c80_7x5", Activation.Silu, 1e-5)]
    [TestCase("groupnorm16_offset_c32_6x7", Activation.None, 1e-4)]
    public void Group_norm(string name, Activation activation, double tolerance)
    {
        using var run = new Run(name, tolerance);
        GroupNormGradients gradients = run.Graph.GroupNormGrad(run.Image("x"), run.Vector("weight"), run.Vector("bias"), run.Image("grad_out"), 16, activation, null, Epsilon);
        run.Expect("grad.x", gradients.Input);
        run.Expect(["grad.weight", "grad.bias"], gradients.Affine);
    }

    // The gradient of two numbers that are normalised to about 1 and -1 is what cancellation leaves.
    [TestCase("batchnorm_train_2x6x1x1", 1e-3)]
    [TestCase("batchnorm_train_3x10x7x5", 1e-5)]
    public void Batch_norm(string name, double tolerance)
    {
        using var run = new Run(name, tolerance);
        Graph g = run.Graph;
        Value x = run.Image("x"), gamma = run.Vector("weight"), dy = run.Image("grad_out");
        Value statistics = g.Apply(new BatchNormStatistics(), [x]), affine = g.Apply(new BatchNormGradAffine(Epsilon), [x, statistics, dy]);
        long positions = x.Shape.Count / x.Shape[3];
        run.Expect("out", g.Apply(new BatchNormTrain(Epsilon), [x, gamma, run.Vector("bias"), statistics]));
        run.Expect(["grad.weight", "grad.bias"], affine);
        run.Expect("grad.x", g.Apply(new BatchNormGradInput(Epsilon), [x, gamma, statistics, dy, affine]));
        run.Expect("running_mean_after", g.Apply(new BatchNormRunning(RunningStatistic.Mean, 0.1f, positions), [run.Vector("running_mean"), statistics]));
        run.Expect("running_var_after", g.Apply(new BatchNormRunning(RunningStatistic.Variance, 0.1f, positions), [run.Vector("running_var"), statistics]));
    }

    [TestCase("avgpool2_20_13x17")]
    [TestCase("avgpool2_20_6x8")]
    public void Average_pool(string name)
    {
        using var run = new Run(name, 1e-6);
        Shape x = run.Image("x").Shape;
        run.Expect("grad.x", run.Graph.Apply(new AvgPool2dGradInput(x[1], x[2]), [run.Image("grad_out")]));
    }

    [Test]
    public void Nearest_enlargement()
    {
        using var run = new Run("upsample_nearest2_20_5x7", 1e-6);
        run.Expect("grad.x", run.Graph.Apply(new UpsampleNearestGradInput(), [run.Image("grad_out")]));
    }

    [Test]
    public void Silu()
    {
        using var run = new Run("silu_b3_41", 1e-6);
        run.Expect("grad.x", run.Graph.Apply(new ActivateGrad(Activation.Silu), [run.Matrix("x"), run.Matrix("grad_out")]));
    }

    /// <summary>A graph of one operation's tensors, run and compared when it is disposed.</summary>
    private sealed class Run(string name, double tolerance) : IDisposable
    {
        private readonly List<(string What, double[] Expected)> expected = [];

        public Graph Graph { get; } = new();

        public Value Image(string tensor) => Constant(tensor, ImageOf(tensor, out Shape shape), shape);

        public Value Vector(string tensor) => Matrix(tensor);

        public Value Matrix(string tensor) => Constant(tensor, File(tensor).ToDoubles(), [.. File(tensor).Shape]);

        /// <summary>Expects a golden, NCHW if it has four dimensions.</summary>
        public void Expect(string tensor, Value found) =>
            Expect(tensor, File(tensor).Shape.Count == 4 ? ImageOf(tensor, out _) : File(tensor).ToDoubles(), found);

        /// <summary>Expects goldens one after another.</summary>
        public void Expect(string[] tensors, Value found) => Expect(string.Join(" and ", tensors), [.. tensors.SelectMany(t => File(t).ToDoubles())], found);

        public void Dispose()
        {
            using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions()), new KernelCompiler());
            using IExecutable executable = device.Compile(Graph, new CompileOptions { FoldConstants = false });
            executable.Run();
            foreach ((string what, double[] values) in expected)
            {
                var found = new float[values.Length];
                executable.Read(what, found);
                Comparer.RequireClose($"{name} {what}", values, [.. found.Select(f => (double)f)], Tolerance.RelativeToMax(tolerance));
            }
        }

        private Tensor File(string tensor) => Ops.Value[$"{name}/{tensor}"];

        private void Expect(string what, double[] values, Value found)
        {
            Assert.That(found.Shape.Count, Is.EqualTo(values.Length), what);
            expected.Add((what, values));
            Graph.Output(what, found);
        }

        private Value Constant(string tensor, double[] values, Shape shape) => Graph.Constant(tensor, shape, [.. values.Select(v => (float)v)]);

        private double[] ImageOf(string tensor, out Shape shape)
        {
            Tensor t = File(tensor);
            double[] source = t.ToDoubles();
            (int n, int c, int pixels) = (t.Shape[0], t.Shape[1], t.Shape[2] * t.Shape[3]);
            shape = [n, t.Shape[2], t.Shape[3], c];
            var y = new double[source.Length];
            for (int i = 0; i < y.Length; i++) y[i] = source[(i / (pixels * c) * c + i % c) * pixels + i / c % pixels];
            return y;
        }
    }
}
