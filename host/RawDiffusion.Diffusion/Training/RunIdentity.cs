using System.Text.Json;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// What tells one run from another: the settings that decide what its steps compute, as one JSON object of text. Where the images lie and
/// how the run is kept are not among them, nor what a run that goes on may change; the images have a checksum of their own.
/// </summary>
public static class RunIdentity
{
    private static readonly HashSet<string> Open =
    [
        "data", "base", "crop", "orientation", "start", "count", "strict", "cache",
        "steps", "save_every", "log_every", "sample_every", "keep", "device", "threads", "recompute", "guard",
    ];

    /// <summary>The identity of a run with these settings.</summary>
    public static string Of(RunConfig config) => JsonSerializer.Serialize(
        RunSettings.All.Where(s => !Open.Contains(s.Name)).Select(s => KeyValuePair.Create(s.Name, s.Get(config))).Where(s => s.Value is not null).ToDictionary());

    /// <summary>How the first identity differs from the second, in words; null where it does not.</summary>
    /// <exception cref="FileFormatException">One is not what <see cref="Of"/> makes.</exception>
    public static string? Difference(string found, string expected)
    {
        if (found == expected) return null;
        (Dictionary<string, string> there, Dictionary<string, string> here) = (Parse(found), Parse(expected));
        string[] different =
        [
            .. there.Keys.Union(here.Keys).Where(name => there.GetValueOrDefault(name) != here.GetValueOrDefault(name))
                .Select(name => $"{name} is {there.GetValueOrDefault(name) ?? "not set"} there and {here.GetValueOrDefault(name) ?? "not set"} here"),
        ];
        return different.Length == 0 ? null : string.Join(", ", different);
    }

    private static Dictionary<string, string> Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<Dictionary<string, string>>(text) ?? [];
        }
        catch (JsonException e)
        {
            throw new FileFormatException($"expected settings in JSON in a checkpoint's metadata, found {e.Message}", e);
        }
    }
}
