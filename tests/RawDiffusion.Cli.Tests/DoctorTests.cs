using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DoctorTests
{
    [Test]
    public void Doctor_tells_what_it_found()
    {
        Outcome outcome = Rawdiffusion.Run("doctor").Succeeded();
        foreach (string part in new[] { ".NET 10", "SIMD", "GPU driver", "NVRTC", "kernel cache", "prebuilt kernels", "cuBLAS", "cuDNN",
            "shapes.safetensors", "sample.png", "cpu (" })
        {
            Assert.That(outcome.Out, Does.Contain(part).IgnoreCase);
        }

        Assert.That(Rawdiffusion.Run("doctor", "--json").Succeeded().Json.GetProperty("default_model").GetString(),
            Does.EndWith("shapes.safetensors"));
    }

    [TestCase("off", "NVRTC was not looked for; RAWDIFFUSION_NVRTC is off: unset it")]
    [TestCase("/nowhere/libnvrtc.so",
        "NVRTC was not found (tried /nowhere/libnvrtc.so); RAWDIFFUSION_NVRTC names it: correct it, or unset it")]
    public void Doctor_tells_that_NVRTC_was_chosen(string chosen, string expected) =>
        Assert.That(Rawdiffusion.RunProcess(["doctor"], (NativeLibraryFile.NvrtcVariable, chosen)).Succeeded().Out, Does.Contain(expected));
}
