using System.Text.Json;
using RawDiffusion.Cli.Options;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Output;

/// <summary>What a sampling verb did, for people and scripts.</summary>
internal sealed record RunSummary(LoadedModel Model, IDevice Device, int Steps, int Images, uint Seed, double Seconds)
{
    public void Write(Utf8JsonWriter json)
    {
        json.WriteString("checkpoint", Model.Path);
        json.WriteBoolean("trained", Model.IsTrained);
        json.WriteString("device", Device.Description);
        json.WriteNumber("images", Images);
        json.WriteNumber("num_components", Model.Network.Config.NumComponents);
        json.WriteNumber("image_size", Model.Network.Config.ImageSize);
        json.WriteNumber("steps", Steps);
        json.WriteNumber("seed", Seed);
        json.WriteNumber("seconds", Math.Round(Seconds, 4));
        json.Strings("non_finite_weights", Model.Network.Weights.NonFinite.Values);
    }
}
