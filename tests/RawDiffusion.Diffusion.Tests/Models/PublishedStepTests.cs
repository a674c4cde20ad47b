using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Emulator.Counters;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Models;

/// <summary>What a K = 4 step of the published model costs on the CUDA device, counted by the emulator.</summary>
public sealed class PublishedStepTests
{
    [Test]
    public void A_step_is_few_launches_and_little_more_than_the_compulsory_traffic()
    {
        var driver = new EmulatedDriver(); // the device's from here on
        using var device = new CudaDevice(driver, new KernelCompiler(), Precision.Bf16);
        using DecompModel model = Model();
        using Sampler sampler = Step(device, model);
        driver.ResetCounters();

        IReadOnlyList<KernelTime> kernels = sampler.Profile();

        double compulsory = kernels.Sum(k => k.Cost.Bytes), moved = driver.Launches.Sum(l => l.UniqueGlobalBytes);
        TestContext.Out.WriteLine(
            $"{kernels.Count} launches, {moved / 1e6:0.0} MB moved, {compulsory / 1e6:0.0} MB compulsory: {moved / compulsory:0.000}");
        double sectors = driver.Launches.Sum(l => 32.0 * (l.GlobalLoads.Transactions + l.GlobalStores.Transactions));
        TestContext.Out.WriteLine($"{sectors / 1e6:0.0} MB between L2 and multiprocessors");
        foreach (IGrouping<string, KernelCounters> kernel in driver.Launches.GroupBy(l => l.Kernel))
        {
            double ideal = kernel.Sum(l => l.GlobalLoads.Ideal + l.GlobalStores.Ideal), found = kernel.Sum(
                l => l.GlobalLoads.Transactions + l.GlobalStores.Transactions);
            double conflicts = kernel.SelectMany(l => l.Lines).Where(l => l.Shared && l.Traffic.Ideal > 0)
                .Select(l => (double)l.Traffic.Transactions / l.Traffic.Ideal).DefaultIfEmpty(1).Max();
            TestContext.Out.WriteLine(
                $"{kernel.Key}: sectors {found / ideal:0.000} of the least, worst access to shared memory {conflicts:0.00}");
            if (kernel.Key is "conv2d_forward" or "attention_forward")
            {
                Assert.That(conflicts, Is.LessThanOrEqualTo(2), $"bank conflicts of {kernel.Key}");
                Assert.That(kernel.Sum(l => l.MatrixInstructions), Is.GreaterThan(0), $"tensor cores of {kernel.Key}");
            }
        }
        Assert.That(kernels, Has.Count.LessThanOrEqualTo(90));
        Assert.That(moved / compulsory, Is.LessThanOrEqualTo(1.3));
    }

    /// <summary>
    /// What the assembler makes of the step's kernels: with extents as arguments, and as constants, for which tiles depend on the GPU.
    /// </summary>
    [TestCase(90, false)]
    [TestCase(80, true)]
    [TestCase(86, true)]
    [TestCase(89, true)]
    [TestCase(90, true)]
    public void Its_kernels_spill_nothing_and_multiply_on_tensor_cores(int architecture, bool specialize)
    {
        if (Nvrtc.Find() is null) Assert.Ignore("no NVRTC on this machine: machine code cannot be compiled");
        var list = new KernelList();
        using var device = new CudaDevice(new IdleDriver(new KernelTarget(IsMachineCode: true, architecture)), new KernelLister(list),
            Precision.Bf16, specialize);
        using DecompModel model = Model();
        Step(device, model, images: 16).Dispose();
        Assert.That(list.Entries.Count(), Is.GreaterThan(20));
        var compiler = new KernelCompiler();
        Parallel.ForEach(list.Entries, entry =>
        {
            (KernelVariant variant, string target) = entry;
            KernelResources kernel = new CubinInfo(compiler.Compile(variant, target)).Kernels.Single(k => k.Name == variant.Kernel);
            Assert.That(kernel.UsesLocalMemory, Is.False, $"{variant} keeps {kernel.FrameBytes} bytes in local memory");
            if (variant.Kernel is "conv2d_forward" or "attention_forward")
                Assert.That(kernel.Count("HMMA"), Is.GreaterThan(0), variant.ToString());
        });
    }

    private static DecompModel Model()
    {
        UNetConfig config = Presets.Get("clevr");
        TensorFile weights = RandomWeights.Of(DecompTensors.Of(config), 1);
        return new DecompModel(weights, new(config.ImageSize, config.NumHeads, config.NumHeadChannels));
    }

    // Compositions of four factors at their first step.
    private static Sampler Step(CudaDevice device, DecompModel model, int images = 1)
    {
        GaussianDiffusion process = new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)).Respace(TimestepSpacing.Every(1000, 50));
        var ddim = new Ddim(process);
        float[] latents = new float[model.Config.NumComponents * model.Config.LatentDim];
        Composition composition = new Decomposer(device, model, ddim).Compositions(latents, 0).Last();
        var sampler = new Sampler(device, [model.Denoiser], [.. Enumerable.Repeat(composition, images)], ddim);
        float[] noise = new float[images * model.Config.ImageSize * model.Config.ImageSize * 3];
        Philox.Normal(noise, 0, 0, 1, 0);
        sampler.Start(noise);
        return sampler;
    }
}
