using RawDiffusion.Cpu;
using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Training;

/// <summary>A few steps of training by the CUDA kernels, executed by the emulator, against the same steps on the CPU.</summary>
public sealed class EmulatedTrainingTests
{
    private const int Steps = 2;
    private const float Scale = 4096;

    private static readonly UNetConfig Config = new()
    {
        ImageSize = 8,
        Channels = 16,
        ChannelMult = [1, 2],
        NumResBlocks = 1,
        EmbDim = 16,
        EncChannels = 16,
        NumComponents = 2,
        AttentionDownsamples = [],
        NumHeads = 2,
        UseScaleShiftNorm = true,
        ResBlockUpDown = true,
    };

    // So small a rate moves no weight of 16 bits: what is compared moves only where float32 parameters are kept.
    private static readonly TrainingOptions Options = new()
    {
        BatchSize = 2,
        LearningRate = 1e-5,
        EmaRate = 0.5,
        // Gradients that are zero in theory have rounding errors, which Adam would divide by their size.
        Adam = new AdamOptions { Epsilon = 1e-3, MaxNorm = 1, WeightDecay = 0.01, Decoupled = true },
        LatentOrthogonality = true,
        UnconditionalProbability = 0.3,
        Dropout = 0.25,
        Seed = 7,
    };

    private static readonly Lazy<Run> OnCpu = new(() =>
    {
        using var device = new CpuDevice(1);
        return Train(device, Options);
    });

    /// <summary>
    /// Losses and norms relative to themselves; all parameters' way, and that of their average, relative to its length:
    /// operands of 11 and 8 bits differ by 5e-4 and 4e-3 each, and gradients are sums of some that cancel.
    /// </summary>
    [TestCase(Precision.Fp32, 1e-5, 1e-3)]
    [TestCase(Precision.Tf32, 2e-3, 2e-2)]
    [TestCase(Precision.Bf16, 2e-2, 2.5e-1)]
    [TestCase(Precision.Fp16, 2e-3, 6e-2)]
    public void Steps_are_those_of_the_cpu(Precision precision, double ofLoss, double ofWay)
    {
        using var device = new CudaDevice(new EmulatedDriver(), new KernelCompiler(), precision);
        Run expected = OnCpu.Value, found = Train(device, Options with { LossScaling = precision == Precision.Fp16 });
        for (int i = 0; i < Steps; i++)
        {
            Assert.That(found.Results[i].Loss, Is.EqualTo(expected.Results[i].Loss).Within(100 * ofLoss).Percent, $"loss of step {i}");
            Assert.That(found.Results[i].GradientNorm, Is.EqualTo(expected.Results[i].GradientNorm).Within(100 * ofWay).Percent,
                $"norm of step {i}");
        }
        foreach ((string name, int row) in (
            (string, int)[])[("parameters", Adam.Parameters), ("first", Adam.First), ("second", Adam.Second), ("average", Adam.Average)])
        {
            double distance = Distance(expected, found, row);
            TestContext.Out.WriteLine($"{precision} {name}: {distance:g3}");
            Assert.That(distance, Is.LessThan(ofWay), name);
        }
        // Too small a part of all to be seen there: its gradient is one of rows that are no image.
        double embedding = Distance(expected, found, Adam.First, "time_embed.");
        TestContext.Out.WriteLine($"{precision} time embedding: {embedding:g3}");
        Assert.That(embedding, Is.LessThan(ofWay), "time embedding");
        foreach ((string name, float[] values) in expected.Statistics)
        {
            Assert.That(found.Statistics[name].Zip(values, (x, y) => Math.Abs(x - y)).Max(),
                Is.LessThan(ofWay * values.Max(Math.Abs)), name);
        }
    }

    [Test]
    public void Fp16_without_a_scaled_loss_is_refused()
    {
        using var device = new CudaDevice(new EmulatedDriver(), new KernelCompiler(), Precision.Fp16);
        Assert.That(Assert.Throws<GraphException>(() => Train(device, Options))!.Message, Does.Contain("fp16").And.Contain("LossScale"));
    }

    /// <summary>A step whose gradients overflow float16 changes nothing but the scale, and a run goes on after it bit for bit.</summary>
    [Test]
    public void A_step_of_fp16_that_overflows_is_skipped()
    {
        using var device = new CudaDevice(new EmulatedDriver(), new KernelCompiler(), Precision.Fp16);
        TrainingOptions options = Options with { LossScaling = true };
        using Trainer trainer = Start(device, options);
        float[] initial = StateOf(trainer);
        // Gradients of the last layer alone are of the size of scale / 400.
        const float TooLarge = 1 << 28;
        trainer.Executable.Write(TrainingGraph.ScaleName, [TooLarge, 7, 0]);
        StepResult skipped = trainer.Run(Images(0));
        Assert.That(float.IsFinite(skipped.Loss));
        Assert.That((float.IsFinite(skipped.GradientNorm), skipped.LowerScale), Is.EqualTo((false, (float?)(TooLarge / 2))));
        Assert.That(StateOf(trainer), Is.EqualTo(initial));
        Assert.That(StatisticsOf(trainer).Values.SelectMany(v => v), Is.All.Matches<float>(float.IsFinite));

        // At a scale that fits, the step is done.
        trainer.Executable.Write(TrainingGraph.ScaleName, [Scale, 0, 1]);
        using Trainer other = new(device, Config, new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)), options);
        other.Restore(new TensorFile([.. trainer.State()]), trainer.Step);
        StepResult done = trainer.Run(Images(1));
        Assert.That(done.LowerScale, Is.Null);
        Assert.That(StateOf(trainer), Is.Not.EqualTo(initial));
        Assert.That(other.Run(Images(1)), Is.EqualTo(done));
        Assert.That(StateOf(other), Is.EqualTo(StateOf(trainer)));
        Assert.That(ScaleOf(other), Is.EqualTo(new[] { Scale, 1, 1 }).And.EqualTo(ScaleOf(trainer)));
    }

    private static double Distance(Run expected, Run found, int row, string prefix = "")
    {
        ParameterLayout layout = new TrainableWeights(DecompTensors.Of(Config)).Layout;
        double difference = 0, way = 0;
        foreach (long i in layout.Parameters.Where(p => p.Name.StartsWith(prefix, StringComparison.Ordinal))
            .SelectMany(p => Enumerable.Range(0, (int)p.Shape.Count).Select(e => row * layout.Count + p.Offset + e)))
        {
            double e = expected.State[i] - (double)expected.Initial[i], f = found.State[i] - (double)found.Initial[i];
            difference += (f - e) * (f - e);
            way += e * e;
        }
        Assert.That(way, Is.GreaterThan(0), "the parameters move");
        return Math.Sqrt(difference / way);
    }

    private static Run Train(IDevice device, TrainingOptions options)
    {
        using Trainer trainer = Start(device, options);
        float[] initial = StateOf(trainer);
        var results = new List<StepResult>();
        for (int i = 0; i < Steps; i++) results.Add(trainer.Run(Images(i)));
        return new Run(results, initial, StateOf(trainer), StatisticsOf(trainer));
    }

    private static Trainer Start(IDevice device, TrainingOptions options)
    {
        var trainer = new Trainer(device, Config, new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)), options);
        trainer.Start(RandomWeights.Of(DecompTensors.Of(Config), 3));
        // Where a run would come to by itself: with so few images and pixels each has a large gradient.
        if (options.LossScaling) trainer.Executable.Write(TrainingGraph.ScaleName, [Scale, 0, 0]);
        return trainer;
    }

    private static float[] Images(int step)
    {
        var random = new Random(1 + step);
        return [.. Enumerable.Range(0, Options.BatchSize * 8 * 8 * 3).Select(_ => (float)(2 * random.NextDouble() - 1))];
    }

    private static float[] ScaleOf(Trainer trainer)
    {
        float[] scale = new float[LossScale.Length];
        trainer.Executable.Read(TrainingGraph.ScaleName, scale);
        return scale;
    }

    private static float[] StateOf(Trainer trainer)
    {
        float[] state = new float[Adam.Rows * new TrainableWeights(DecompTensors.Of(Config)).Layout.Count];
        trainer.Executable.Read(TrainableWeights.StateName, state);
        return state;
    }

    private static Dictionary<string, float[]> StatisticsOf(Trainer trainer) =>
        new TrainableWeights(DecompTensors.Of(Config)).Statistics.ToDictionary(s => s.Name, s =>
    {
        float[] values = new float[s.Count];
        trainer.Executable.Read(s.Name, values);
        return values;
    });

    private sealed record Run(
        IReadOnlyList<StepResult> Results, float[] Initial, float[] State, IReadOnlyDictionary<string, float[]> Statistics);
}
