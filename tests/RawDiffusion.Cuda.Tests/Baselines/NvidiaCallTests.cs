using RawDiffusion.Cuda.Baselines;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Baselines;

public sealed class NvidiaCallTests
{
    [Test]
    public void A_convolution_has_the_shape_that_the_kernel_computes()
    {
        var g = new Graph();
        Value x = g.Input("x", [2, 9, 8, 16]), x2 = g.Input("x2", [2, 9, 8, 4]), weight = g.Constant(
            "w", [48, 3, 3, 20], new float[48 * 9 * 20]);
        NvidiaCall[] strided = Calls(g.Apply(new Conv2d(2, 1), [x, weight, null, x2, null, null, null]), Precision.Bf16);
        Assert.That(strided, Is.EqualTo(new[] { new NvidiaConvolution(new(2, 9, 8, 20, 48, 3, 2, 1), Precision.Bf16) }));
        NvidiaCall[] upsampled = Calls(g.Apply(new Conv2d(1, 1) { Upsample = true }, [x, weight, null, x2, null, null, null]),
            Precision.Fp32);
        Assert.That(upsampled, Is.EqualTo(new[] { new NvidiaConvolution(new(2, 18, 16, 20, 48, 3, 1, 1), Precision.Fp32) }));
    }

    /// <summary>Both sides store as many results, whatever stride, padding and upsampling.</summary>
    [Test]
    public void A_convolutions_result_has_as_many_elements_as_the_nodes(
        [Values(1, 2)] int stride, [Values(0, 1)] int padding, [Values] bool upsample, [Values(1, 3)] int kernel)
    {
        if (padding >= kernel) return;
        var g = new Graph();
        Value y = g.Apply(new Conv2d(stride, padding) { Upsample = upsample },
            [g.Input("x", [2, 9, 8, 16]), g.Constant("w", [48, kernel, kernel, 16], new float[48 * kernel * kernel * 16]), null, null,
            null, null, null]);
        Assert.That(Calls(y, Precision.Fp16).Single().Elements.Y, Is.EqualTo(y.Shape.Count));
    }

    [Test]
    public void A_1x1_convolution_and_a_skip_connection_are_products()
    {
        var g = new Graph();
        Value x = g.Input("x", [2, 6, 5, 16]), skip = g.Input("skip", [2, 6, 5, 7]), skip2 = g.Input("skip2", [2, 6, 5, 4]);
        Value one = g.Constant("one", [48, 1, 1, 16], new float[48 * 16]), three = g.Constant(
            "three", [32, 3, 3, 16], new float[32 * 9 * 16]);
        Value skipWeight = g.Constant("skipWeight", [32, 1, 1, 11], new float[32 * 11]);
        Assert.That(Calls(g.Conv2d(x, one, null), Precision.Tf32), Is.EqualTo(new[] { new NvidiaProduct(60, 48, 16, Precision.Tf32) }));
        Value fused = g.Apply(new Conv2d(1, 1), [x, three, null, null, null, null, null, skip, skip2, skipWeight]);
        Assert.That(Calls(fused, Precision.Tf32), Is.EqualTo(new NvidiaCall[]
        {
            new NvidiaConvolution(new(2, 6, 5, 16, 32, 3, 1, 1), Precision.Tf32), new NvidiaProduct(60, 32, 11, Precision.Tf32),
        }));
    }

    [Test]
    public void Layers_that_are_one_launch_are_one_exact_product()
    {
        var g = new Graph();
        Value x = g.Input("x", [3, 64]);
        Value a = g.Linear(x, g.Constant("a", [20, 64], new float[20 * 64]), null), b = g.Linear(
            x, g.Constant("b", [12, 64], new float[12 * 64]), null);
        Assert.That(NvidiaCall.Of(a.Producer!, [a.Producer!, b.Producer!], Precision.Bf16),
            Is.EqualTo(new[] { new NvidiaProduct(3, 32, 64, Precision.Fp32) }));
    }

    /// <summary>Weights that are not constant have a kernel that packs them: the products count with the one after it.</summary>
    [Test]
    public void Calls_stand_beside_a_nodes_main_kernel()
    {
        using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions()), new KernelCompiler());
        var g = new Graph();
        g.Output("y", g.Conv2d(g.Input("x", [1, 4, 4, 8]), g.Input("w", [8, 3, 3, 8]), null, padding: 1));
        using var executable = (CudaExecutable)device.Compile(g);
        Assert.That(executable.Launches.Select(l => l.Variant.Kernel), Is.EqualTo(new[] { "conv2d_pack", "conv2d_forward" }));
        Assert.That(executable.NvidiaCalls.Select(c => c.Count), Is.EqualTo(new[] { 0, 1 }));
    }

    [Test]
    public void Without_a_GPU_nothing_is_measured()
    {
        using var device = new CudaDevice(new EmulatedDriver(new EmulatorOptions()), new KernelCompiler());
        var g = new Graph();
        g.Output("y", g.Apply(new Activate(Activation.Silu), [g.Input("x", [4])]));
        using IExecutable executable = device.Compile(g);
        Assert.That(() => NvidiaBaseline.Measure(device, executable, 1),
            Throws.ArgumentException.With.Message.Contains("run on a GPU, found"));
    }

    private static NvidiaCall[] Calls(Value y, Precision precision) => [.. NvidiaCall.Of(y.Producer!, [y.Producer!], precision)];
}
