using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Inputs;

/// <summary>What <c>import</c> finds in a checkpoint.</summary>
/// <param name="Config">The architecture.</param>
/// <param name="HeadsKnown">Whether attention heads are told by options, metadata or the usual size of a head.</param>
/// <param name="Types">Element types and how many tensors have each.</param>
/// <param name="NonFinite">A sentence for each tensor that holds a NaN or an infinity.</param>
internal sealed record CheckpointContent(
    UNetConfig Config, bool HeadsKnown, IReadOnlyList<(string Type, int Count)> Types, IReadOnlyList<string> NonFinite)
{
    /// <summary>Sizes of the feature maps that have attention, largest first.</summary>
    public IEnumerable<int> AttentionResolutions => Config.AttentionDownsamples.Select(d => Config.ImageSize / d);

    /// <summary>Looks through a file.</summary>
    /// <exception cref="CheckpointException">It holds another network.</exception>
    public static CheckpointContent Of(TensorFile file, ArchitectureOverrides overrides, CancellationToken cancellation)
    {
        (UNetConfig config, bool headsKnown) = Infer(file, overrides);
        (string, int)[] types = [.. file.Names.GroupBy(n => file[n].Type).OrderByDescending(g => g.Count())
            .Select(g => (g.Key.ToString().ToLowerInvariant(), g.Count()))];
        return new CheckpointContent(config, headsKnown, types, [.. NonFiniteTensors(file, cancellation)]);
    }

    /// <summary>What a converted file carries, so that it needs no options to be opened again.</summary>
    public Dictionary<string, string> Metadata(IReadOnlyDictionary<string, string> original)
    {
        Dictionary<string, string> metadata = ModelMetadata.Of(
            HeadsKnown ? Config : Config with { NumHeads = null, NumHeadChannels = null });
        foreach ((string key, string value) in original) metadata.TryAdd(key, value);
        return metadata;
    }

    // Shapes do not tell the number of heads. To look at a file it need not be known.
    private static (UNetConfig Config, bool HeadsKnown) Infer(TensorFile file, ArchitectureOverrides overrides)
    {
        try
        {
            return (ArchitectureInference.Infer(file, overrides), true);
        }
        catch (CheckpointException) when (overrides is { NumHeads: null, NumHeadChannels: null })
        {
            return (ArchitectureInference.Infer(file, overrides with { NumHeads = 1 }), false);
        }
    }

    private static IEnumerable<string> NonFiniteTensors(TensorFile file, CancellationToken cancellation)
    {
        foreach (string name in file.Names)
        {
            cancellation.ThrowIfCancellationRequested();
            if (file[name].Type is not (TensorType.Float16 or TensorType.BFloat16 or TensorType.Float32 or TensorType.Float64)) continue;
            float[] values = file[name].ToSingles();
            int bad = Array.FindIndex(values, v => !float.IsFinite(v));
            if (bad >= 0) yield return $"{name}[{bad}] is {values[bad]}";
        }
    }
}
