using System.Globalization;
using System.Text.Json;
using RawDiffusion.Cpu;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Training;

namespace RawDiffusion.Diffusion.Tests.Training;

/// <summary>Runs of a network that is as small as one can be.</summary>
internal static class Runs
{
    public static RunConfig Config { get; } = new RunConfig
    {
        Data = "tetris",
        Images = new ImageSetOptions { Count = 50 },
        ImageSize = 16,
        Network = new UNetConfig
        {
            ImageSize = 16,
            Channels = 16,
            ChannelMult = [1, 1],
            NumResBlocks = 1,
            EmbDim = 8,
            EncChannels = 4,
            NumComponents = 2,
            AttentionDownsamples = [],
            NumHeadChannels = 16,
            ResBlockUpDown = true,
        },
        AttentionResolutions = [8],
        Training = new TrainingOptions { BatchSize = 2, Steps = 3 },
        SampleEvery = 0,
    };

    /// <summary>Trains, and stops after a step where one is given.</summary>
    public static Result Train(
        RunFolder folder, RunConfig config, int threads, int stopAfter, Func<CpuDevice, ImageSet, TrainingRun> prepare)
    {
        using var device = new CpuDevice(threads);
        using ImageSet set = TrainingRanks.Cached(
            config, null, config.OpenImages(), (images, cache) => CachedSet.Of(images, cache, _ => { }));
        using TrainingRun run = prepare(device, set);
        using var stop = new CancellationTokenSource();
        if (stopAfter == 0) stop.Cancel();
        List<double> losses = [];
        RunResult result = run.Run(progress =>
        {
            losses.Add(progress.Step.Loss);
            if (progress.Step.Step == stopAfter) stop.Cancel();
        }, stop.Token);
        Assert.That(result.Step, Is.EqualTo(stopAfter < 0 ? config.Training.Steps : stopAfter), folder.FullPath);
        return new Result(result.Finished, result.Step, result.Skipped, losses);
    }

    /// <summary>A line of a log without what depends on the machine.</summary>
    public static string WithoutTimes(string line)
    {
        using var json = JsonDocument.Parse(line);
        return string.Join(' ', ((string[])["step", "loss", "gradient_norm", "rate"])
            .Select(n => json.RootElement.GetProperty(n).GetDouble().ToString("R", CultureInfo.InvariantCulture)));
    }

    internal sealed record Result(bool Finished, long Step, int Skipped, IReadOnlyList<double> Losses);
}
