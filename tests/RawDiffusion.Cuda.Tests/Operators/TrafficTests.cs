using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Emulator.Counters;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>How kernels that do little arithmetic use memory, as the emulator counts it.</summary>
public sealed class TrafficTests
{
    [Test]
    public void The_last_step_meets_few_bank_conflicts([Values(Precision.Fp32, Precision.Bf16)] Precision precision)
    {
        var groups = RowGroups.Mean(1, 4);
        KernelCounters counters = Count(precision, "denoise_average_step_forward", g =>
        {
            Value h = Activation(g, "h", [4, 16, 16, 64]);
            Value step = g.State("step", [1], DType.I32);
            return g.Apply(new DenoiseAverageStep(groups, Engine.Operators.Activation.Silu, true),
                [h, g.Input("x", [1, 16, 16, 3]), g.Input("table", [5, 5]), step, null, g.Input("affine", [4, 2, 64]),
                g.Input("weight", [3, 3, 3, 64]), null]);
        });
        Assert.That(counters.Shared.Transactions, Is.LessThanOrEqualTo(1.1 * counters.Shared.Ideal));
    }

    [Test]
    public void Group_norm_reads_whole_sectors_once([Values(Precision.Fp32, Precision.Bf16)] Precision precision)
    {
        Shape shape = [2, 16, 16, 64];
        KernelCounters counters = Count(precision, "group_norm_affine", g =>
            g.Apply(new GroupNormAffine(16, 1e-5f),
            [Activation(g, "x", shape), g.Input("gamma", [64]), g.Input("beta", [64]), null, null]));
        LineTraffic image = counters.Lines.Where(l => !l.Shared).MaxBy(l => l.Traffic.Bytes)!;
        Assert.That(image.Traffic.Transactions, Is.EqualTo(image.Traffic.Ideal), "sectors of the tensor's loads");
    }

    [Test]
    public void Elementwise_kernels_touch_whole_sectors([Values(Precision.Fp32, Precision.Bf16)] Precision precision)
    {
        Shape shape = [2, 16, 16, 64];
        foreach ((string kernel, Func<Graph, Value> build) in new (string, Func<Graph, Value>)[]
        {
            ("add_forward", g => g.Add(Activation(g, "a", shape), Activation(g, "b", shape))),
            ("concat_forward", g => g.Concat(Activation(g, "a", shape), Activation(g, "b", shape))),
            ("upsample_nearest_forward", g => g.UpsampleNearest(Activation(g, "a", shape))),
            ("repeat_rows_forward", g => g.RepeatRows(Activation(g, "a", shape), RowGroups.Mean(2, 3))),
            ("sum_rows_grad_input", g => g.Apply(new SumRowsGradInput(RowGroups.Mean(2, 3)), [Activation(g, "a", shape)])),
            ("avg_pool2d_forward", g => g.AvgPool2d(Activation(g, "a", shape))),
        })
        {
            KernelCounters counters = Count(precision, kernel, g => g.Apply(new Activate(Engine.Operators.Activation.None), [build(g)]));
            Assert.That(counters.GlobalLoads.Transactions, Is.EqualTo(counters.GlobalLoads.Ideal),
                $"{kernel}: loads {counters.GlobalLoads}");
            Assert.That(counters.GlobalStores.Transactions, Is.EqualTo(counters.GlobalStores.Ideal),
                $"{kernel}: stores {counters.GlobalStores}");
        }
    }

    // An activation as the precision stores it.
    private static Value Activation(Graph g, string name, Shape shape) =>
        g.Apply(new Activate(Engine.Operators.Activation.None), [g.Input(name, shape)]);

    private static KernelCounters Count(Precision precision, string kernel, Func<Graph, Value> build)
    {
        var driver = new EmulatedDriver(new EmulatorOptions());
        using var device = new CudaDevice(driver, new KernelCompiler(), precision);
        var g = new Graph();
        g.Output("y", build(g));
        using IExecutable executable = device.Compile(g, new CompileOptions { Fuse = false });
        foreach ((string name, Value value) in g.Inputs)
            if (value.DType == DType.F32) executable.Write(name, new float[value.Shape.Count]);
        driver.ResetCounters();
        executable.Run();
        executable.Read("y", new float[g.Outputs["y"].Shape.Count]);
        return driver.Kernels[kernel];
    }
}
