using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Emulator.Counters;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>What attention's kernels ask of the memories, at the published model's heads of 64 channels.</summary>
public sealed class AttentionTrafficTests
{
    private const int Heads = 2, Head = 64, Positions = 16 * 16;

    private static readonly KernelCompiler Compiler = new();

    [Test]
    public void Accesses_are_whole_sectors_and_free_of_bank_conflicts([Values] Precision precision)
    {
        KernelCounters[] kernels = Count(precision);
        Assert.That(kernels.Select(k => k.Kernel), Is.EquivalentTo(
            (string[])["attention_forward", "attention_grad_rows", "attention_grad_queries", "attention_grad_keys"]));
        using (Assert.EnterMultipleScope())
        {
            foreach (KernelCounters kernel in kernels)
            {
                Assert.That(kernel.Lines, Is.Not.Empty, kernel.Kernel);
                foreach (LineTraffic line in kernel.Lines)
                {
                    Assert.That(line.Traffic.Transactions, Is.EqualTo(line.Traffic.Ideal),
                        $"{kernel.Kernel}: {line.Instruction} at {line.Location}, {line.Traffic.Requests} requests");
                }

                Assert.That(kernel.Local.Requests, Is.Zero, kernel.Kernel);
            }
        }
    }

    /// <summary>
    /// Queries and results cross the memory once, and keys and values once for each block of 64 queries: 4 of them here.
    /// </summary>
    [Test]
    public void Each_block_reads_its_queries_once_and_all_keys_and_values_once([Values] Precision precision)
    {
        KernelCounters forward = Count(precision).Single(k => k.Kernel == "attention_forward");
        long part = (long)Positions * Heads * Head * (precision is Precision.Bf16 or Precision.Fp16 ? 2 : 4);
        Assert.That((forward.GlobalLoads.Bytes, forward.GlobalStores.Bytes), Is.EqualTo((part + Positions / 64 * 2 * part, part)));
    }

    [Test]
    public void Products_run_on_tensor_cores_in_all_precisions_but_float32([Values] Precision precision)
    {
        // Two products of T x T x C forward; backward one, two and one, and two and two.
        var products = new Dictionary<string, int>
        {
            ["attention_forward"] = 2,
            ["attention_grad_rows"] = 1,
            ["attention_grad_queries"] = 3,
            ["attention_grad_keys"] = 4
        };
        foreach (KernelCounters kernel in Count(precision))
        {
            long flops = products[kernel.Kernel] * 2L * Positions * Positions * Heads * Head;
            Assert.That(kernel.Matrix, Is.EqualTo(precision switch
            {
                Precision.Fp32 => default(MatrixOperations),
                Precision.Tf32 => new MatrixOperations(0, 0, flops, 0),
                _ => new MatrixOperations(flops, 0, 0, 0),
            }), kernel.Kernel);
        }
    }

    private static KernelCounters[] Count(Precision precision)
    {
        var driver = new EmulatedDriver(new EmulatorOptions());
        using var device = new CudaDevice(driver, Compiler, precision);
        var g = new Graph();
        Value Stored(string name, int channels) => g.Apply(new Activate(Activation.None), [g.Input(name, [1, 16, 16, channels])]);
        Value qkv = Stored("qkv", 3 * Heads * Head), dy = Stored("dy", Heads * Head);
        Value gradient = g.AttentionGrad(qkv, g.Attention(qkv, Heads), dy, Heads);
        g.Output("y", g.Apply(new Activate(Activation.None), [gradient]));
        using IExecutable executable = device.Compile(g, new CompileOptions { ReuseMemory = false });
        foreach ((string name, Value value) in g.Inputs) executable.Write(name, new float[value.Shape.Count]);
        executable.Run();
        return [.. driver.Kernels.Values.Where(k => k.Kernel.StartsWith("attention", StringComparison.Ordinal))];
    }
}
