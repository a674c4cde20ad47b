using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Passes;
using RawDiffusion.Testing;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class AdamTests
{
    private const double Rate = 1e-3, Share = 0.1;

    // Of one element, ragged, and of several pieces, the last of them ragged.
    private static readonly int[] Counts = [1, 4096, 7, 9003];

    [Test]
    public void Steps_follow_the_formula([Values] bool decoupled, [Values(0, 0.1)] double decay, [Values(null, 0.5, 1e6)] double? maxNorm, [Values] bool average)
    {
        var options = new AdamOptions(WeightDecay: decay, Decoupled: decoupled, MaxNorm: maxNorm, Average: average);
        using var optimizer = new Optimizer(Counts, options);
        double[][] expected = Reference(optimizer.Initial, options, steps: 3);
        float[][] found = optimizer.Run(steps: 3);
        string[] parts = average ? ["parameter", "first", "second", "average"] : ["parameter", "first", "second"];
        for (int i = 0; i < Counts.Length; i++)
        {
            for (int k = 0; k < parts.Length; k++)
            {
                Comparer.RequireClose($"{parts[k]} of tensor {i}", expected[i * 4 + k], [.. found[i * 4 + k].Select(f => (double)f)],
                    Tolerance.RelativeToMax(k == 2 ? 2e-6 : 1e-6));
            }
        }
    }

    [Test]
    public void A_gradient_that_is_no_number_shows_in_all_parameters_that_are_clipped_together()
    {
        using var optimizer = new Optimizer(Counts, new AdamOptions(MaxNorm: 1));
        optimizer.Gradient(2)[3] = float.NaN;
        Assert.That(optimizer.Run(steps: 1).Where((_, i) => i % 4 == 0).SelectMany(p => p), Is.All.NaN);
    }

    // Parameter, first, second and average of each tensor.
    private static double[][] Reference((double[] Parameter, double[] Gradient)[] tensors, AdamOptions o, int steps)
    {
        double[][] state = [.. tensors.SelectMany(t => (double[][])[[.. t.Parameter], new double[t.Parameter.Length], new double[t.Parameter.Length], [.. t.Parameter]])];
        double norm = Math.Sqrt(tensors.Sum(t => t.Gradient.Sum(g => g * g)));
        double clip = o.MaxNorm is { } most ? Math.Min(1, most / (norm + 1e-6)) : 1;
        for (int step = 1; step <= steps; step++)
        {
            for (int i = 0; i < tensors.Length; i++)
            {
                (double[] p, double[] m, double[] v, double[] average) = (state[i * 4], state[i * 4 + 1], state[i * 4 + 2], state[i * 4 + 3]);
                for (int j = 0; j < p.Length; j++)
                {
                    double g = clip * tensors[i].Gradient[j];
                    if (o.Decoupled) p[j] -= Rate * o.WeightDecay * p[j];
                    else g += o.WeightDecay * p[j];
                    m[j] = o.Beta1 * m[j] + (1 - o.Beta1) * g;
                    v[j] = o.Beta2 * v[j] + (1 - o.Beta2) * g * g;
                    double size = m[j] / (1 - Math.Pow(o.Beta1, step)), spread = v[j] / (1 - Math.Pow(o.Beta2, step));
                    p[j] -= Rate * size / (Math.Sqrt(spread) + o.Epsilon);
                    average[j] += Share * (p[j] - average[j]);
                }
            }
        }
        return state;
    }

    /// <summary>Parameters on the emulator, and the launches of a step.</summary>
    private sealed unsafe class Optimizer : IDisposable
    {
        private readonly EmulatedDriver driver = new(new EmulatorOptions());
        private readonly DeviceMemory memory;
        private readonly List<KernelLaunch> launches;
        private readonly List<AdamTensor> tensors = [];
        private readonly float[][] gradients;
        private readonly DeviceRange step;

        public Optimizer(int[] counts, AdamOptions options)
        {
            memory = new DeviceMemory(driver);
            var random = new Random(3);
            double[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => (double)(float)(random.NextDouble() * 2 - 1))];
            Initial = [.. counts.Select(c => (Draw(c), Draw(c)))];
            gradients = [.. Initial.Select(t => t.Gradient.Select(g => (float)g).ToArray())];
            var context = new LaunchContext(
                memory, MemoryPlan.Of(new Graph()), new StoragePolicy(new Graph(), Precision.Fp32), new NormFusion(), new Siblings(),
                (_, _) => throw new InvalidOperationException("there is no convolution here"), Precision.Fp32, specialize: false);
            foreach ((double[] parameter, double[] gradient) in Initial)
            {
                float[] values = [.. parameter.Select(p => (float)p)], zeros = new float[parameter.Length];
                tensors.Add(new AdamTensor(Upload(values), Upload(new float[gradient.Length]), Upload(zeros), Upload(zeros), options.Average ? Upload(values) : default));
            }
            step = memory.Allocate(4);
            AdamLaunches.Add(context, tensors, options, Upload([(float)Rate, (float)Share]), step);
            launches = context.Take();
        }

        public (double[] Parameter, double[] Gradient)[] Initial { get; }

        public float[] Gradient(int tensor) => gradients[tensor];

        public float[][] Run(int steps)
        {
            for (int i = 0; i < tensors.Count; i++) Write(tensors[i].Gradient, MemoryMarshal.AsBytes(gradients[i].AsSpan()));
            for (int s = 0; s < steps; s++)
            {
                Write(step, BitConverter.GetBytes(s));
                foreach (KernelLaunch launch in launches)
                {
                    nint module = driver.LoadModule(new KernelCompiler().Compile(launch.Variant, driver.Target));
                    driver.Launch(driver.GetFunction(module, launch.Variant.Kernel), launch.Geometry, launch.Arguments, 0);
                    driver.Synchronize(0);
                    driver.UnloadModule(module);
                }
            }
            return [.. tensors.SelectMany(t => (float[][])[Read(t.Parameter), Read(t.First), Read(t.Second), Read(t.Average)])];
        }

        public void Dispose()
        {
            memory.Dispose();
            driver.Dispose();
        }

        private DeviceRange Upload(float[] data) => memory.Upload(MemoryMarshal.AsBytes(data.AsSpan()));

        private void Write(DeviceRange range, ReadOnlySpan<byte> data)
        {
            fixed (byte* source = data) driver.CopyToDevice(range.Address, (nint)source, data.Length, 0);
            driver.Synchronize(0);
        }

        private float[] Read(DeviceRange range)
        {
            var data = new float[range.Bytes / 4];
            if (data.Length == 0) return data;
            fixed (float* destination = data) driver.CopyToHost((nint)destination, range.Address, range.Bytes, 0);
            driver.Synchronize(0);
            return data;
        }
    }
}
