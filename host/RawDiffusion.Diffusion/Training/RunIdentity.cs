using System.Text.Json;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// What tells one run from another: the settings that decide what its steps compute, as one JSON object of text. The images have a checksum
/// of their own.
/// </summary>
public static class RunIdentity
{
    /// <summary>
    /// The other settings, which a run that goes on may change: where its images lie, how it is kept and how long it is. They change
    /// nothing of what its steps compute but the end of the rate's decay.
    /// </summary>
    public static IReadOnlyList<string> Open { get; } =
    [
        "data", "base", "strict", "cache",
        "steps", "save_every", "log_every", "sample_every", "keep", "device", "threads", "recompute", "guard",
    ];

    /// <summary>The identity of a run with these settings.</summary>
    public static string Of(RunConfig config) => JsonSerializer.Serialize(
        RunSettings.All.Where(s => !Open.Contains(s.Name)).ToDictionary(s => s.Name, s => s.Get(config) ?? ""));

    /// <summary>
    /// How the first identity differs from the second, in words; null where it does not. A setting that one of them does not know, as it is
    /// of another version, is no difference.
    /// </summary>
    /// <exception cref="FileFormatException">One is not what <see cref="Of"/> makes.</exception>
    public static string? Difference(string found, string expected)
    {
        if (found == expected) return null;
        (Dictionary<string, string?> there, Dictionary<string, string?> here) = (Parse(found), Parse(expected));
        string[] different =
        [
            .. there.Keys.Where(name => here.TryGetValue(name, out string? value) && value != there[name])
                .Select(name => $"{name} is {Shown(there[name])} there and {Shown(here[name])} here"),
        ];
        return different.Length == 0 ? null : string.Join(", ", different);
    }

    private static string Shown(string? value) => string.IsNullOrEmpty(value) ? "not set" : value;

    private static Dictionary<string, string?> Parse(string text)
    {
        try
        {
            return JsonSerializer.Deserialize<Dictionary<string, string?>>(text) ?? [];
        }
        catch (JsonException e)
        {
            throw new FileFormatException($"expected settings in JSON in a checkpoint's metadata, found {e.Message}", e);
        }
    }
}
