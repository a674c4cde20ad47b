using System.Text.Json;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>Reads and writes a <see cref="RunConfig"/> as one JSON object, whose members are those of <see cref="RunSettings"/>.</summary>
public static class RunConfigFile
{
    // Far above any real one.
    private const int MaxBytes = 1 << 20;

    /// <summary>Another member of a file: a published architecture to begin with.</summary>
    public const string Preset = "preset";

    /// <summary>Reads a file; what it leaves out has its default.</summary>
    /// <exception cref="FileFormatException">It is no such object, or a value cannot be used; names file, member and what was
    /// expected.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static RunConfig Read(string path)
    {
        using var text = new MemoryStream(RegularFile.ReadAllBytes(path, MaxBytes));
        try
        {
            using var json = JsonDocument.Parse(
                text, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
            return Read(path, json.RootElement);
        }
        catch (JsonException e)
        {
            throw new FileFormatException($"{path}: expected a configuration in JSON, found {e.Message}", e);
        }
    }

    /// <summary>Writes a file: whole or not at all.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public static void Write(string path, RunConfig config) => AtomicFile.Write(path, stream =>
    {
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        foreach (RunSetting setting in RunSettings.All)
        {
            if (setting.Get(config) is not { } text) continue;
            json.WritePropertyName(setting.Name);
            switch (setting.Kind)
            {
                case SettingKind.Number:
                    json.WriteRawValue(text);
                    break;
                case SettingKind.Switch:
                    json.WriteBooleanValue(text == "on");
                    break;
                case SettingKind.Numbers:
                    json.WriteRawValue($"[{text}]");
                    break;
                case SettingKind.Text:
                    json.WriteStringValue(text);
                    break;
                default:
                    throw new InvalidOperationException($"a setting of kind {setting.Kind} has no form in JSON");
            }
        }
        json.WriteEndObject();
    });

    private static RunConfig Read(string path, JsonElement root)
    {
        if (root.ValueKind != JsonValueKind.Object)
            throw new FileFormatException($"{path}: expected a JSON object of settings, found {root.ValueKind}");
        var config = new RunConfig();
        if (root.TryGetProperty(Preset, out JsonElement preset))
            config = Set(path, Preset, () => config.WithNetwork(Presets.Get(RunSettings.TextOf(preset))));
        foreach (JsonProperty member in root.EnumerateObject())
        {
            if (member.Name == Preset || member.Value.ValueKind == JsonValueKind.Null) continue;
            RunSetting setting = RunSettings.All.FirstOrDefault(s => s.Name == member.Name)
                ?? throw new FileFormatException(
                $"{path}: there is no setting '{member.Name}'; there are: {string.Join(", ", RunSettings.All.Select(s => s.Name))}");
            config = Set(path, member.Name, () => setting.Set(config, RunSettings.TextOf(member.Value)));
        }
        return config;
    }

    private static RunConfig Set(string path, string name, Func<RunConfig> set)
    {
        try
        {
            return set();
        }
        catch (FormatException e)
        {
            throw new FileFormatException($"{path}: '{name}' takes {e.Message}", e);
        }
        catch (ArgumentException e)
        {
            throw new FileFormatException($"{path}: {e.Message}", e);
        }
    }
}
