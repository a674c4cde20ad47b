using System.Text.Json;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cli.Tests;

public sealed class CheckTests
{
    [Test]
    public void Every_kernel_in_every_precision_passes()
    {
        JsonElement json = Rawdiffusion.Run("check", "--device", "emulated", "--no-resources", "--json").Succeeded().Json;
        Assert.That(json.GetProperty("faults").GetArrayLength(), Is.Zero);
        Assert.That(json.GetProperty("cases").GetInt32(), Is.GreaterThan(1000));
        JsonElement[] kernels = [.. json.GetProperty("kernels").EnumerateArray()];
        Assert.That(kernels.Select(k => k.GetProperty("kernel").GetString()).Distinct().Count(), Is.GreaterThan(40));
        // Tensor cores did the products of the precisions that have them.
        string[] idle = [.. kernels.Where(
            k => k.GetProperty("kernel").GetString() == "conv2d_forward" && k.GetProperty("matrix_instructions").GetInt64() == 0)
            .Select(k => k.GetProperty("variant").GetString()!)];
        Assert.That(idle, Is.All.Contain("COMPUTE_T=float"));
    }

    [Test]
    public void Resources_are_those_of_each_architecture()
    {
        if (Nvrtc.Find() is null) Assert.Ignore($"machine code cannot be compiled: {NativeLibraryFile.Nvrtc.Missing}");
        JsonElement json = Rawdiffusion.Run("check", "--device", "emulated", "--operator", "SumRows", "--precision", "bf16", "--json")
            .Succeeded().Json;
        foreach (JsonElement kernel in json.GetProperty("kernels").EnumerateArray())
        {
            JsonElement[] resources = [.. kernel.GetProperty("resources").EnumerateArray()];
            Assert.That(resources.Select(r => r.GetProperty("compute_capability").GetInt32()), Is.EqualTo(new[] { 80, 86, 89, 90 }));
            Assert.That(resources.Select(r => r.GetProperty("registers").GetInt32()), Is.All.InRange(8, 255));
            Assert.That(resources.Select(r => r.GetProperty("occupancy").GetDouble()), Is.All.GreaterThan(0));
        }
    }

    [Test]
    public void Kernels_can_be_compiled_for_the_shapes_at_hand()
    {
        if (!new KernelCompiler().CanCompile)
            Assert.Ignore($"kernels cannot be compiled for the shapes at hand: {NativeLibraryFile.Nvrtc.Missing}");
        JsonElement json = Rawdiffusion.Run("check", "--device", "emulated", "--operator", "ScaleRows", "--precision", "bf16",
            "--specialize", "--no-resources", "--json").Succeeded().Json;
        Assert.That(json.GetProperty("faults").GetArrayLength(), Is.Zero);
        string[] variants = [.. json.GetProperty("kernels").EnumerateArray().Select(k => k.GetProperty("variant").GetString()!)];
        string[] scaling = [.. variants.Where(v => v.StartsWith("scale_rows", StringComparison.Ordinal))];
        Assert.That(scaling, Is.Not.Empty.And.All.Contain("SIZE=").And.None.Contain("SIZE=size_arg"));
    }

    [Test]
    public void Without_NVRTC_kernels_are_checked_and_machine_code_is_not()
    {
        Outcome outcome = Rawdiffusion.RunProcess(
            ["check", "--device", "emulated", "--operator", "SumRows", "--precision", "bf16"],
                (NativeLibraryFile.NvrtcVariable, "off")).Succeeded();
        Assert.That(outcome.Out, Does.EndWith("nothing found\n"));
        Assert.That(outcome.Error, Does.Contain("warning: registers, spills and occupancy are left out").And.Contain(
            "RAWDIFFUSION_NVRTC is off"));
        Rawdiffusion.RunProcess(["check", "--device", "emulated", "--operator", "SumRows", "--specialize"],
            (NativeLibraryFile.NvrtcVariable, "off"))
            .Failed(1, "--specialize", "RAWDIFFUSION_NVRTC is off");
    }

    [Test]
    public void Bad_usage_is_refused()
    {
        Rawdiffusion.Run("check", "--operator", "Sort").Failed(2, "'Sort'", "GroupNorm");
        Rawdiffusion.Run("check", "--precision", "int8").Failed(2, "int8", "bf16");
    }
}
