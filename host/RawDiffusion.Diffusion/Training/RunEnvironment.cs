using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>Where and how a run was begun, and each time gone on with: an array of objects in a file.</summary>
internal static class RunEnvironment
{
    // Far above any real one: each start of a run takes some hundred bytes.
    private const int MaxBytes = 1 << 24;

    /// <summary>Adds this process.</summary>
    public static void Append(string path, IDevice device, long step, string commandLine)
    {
        JsonElement[] before = [];
        if (File.Exists(path))
        {
            using var json = JsonDocument.Parse(RegularFile.ReadAllBytes(path, MaxBytes));
            before = [.. json.RootElement.EnumerateArray().Select(e => e.Clone())];
        }
        AtomicFile.Write(path, stream =>
        {
            using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true });
            json.WriteStartArray();
            foreach (JsonElement element in before) element.WriteTo(json);
            json.WriteStartObject();
            json.WriteNumber("step", step);
            json.WriteString("time", DateTime.UtcNow);
            json.WriteString("version",
                typeof(RunEnvironment).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion);
            json.WriteString("command_line", commandLine);
            json.WriteString("device", device.Description);
            json.WriteString("system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}");
            json.WriteString("runtime", RuntimeInformation.FrameworkDescription);
            json.WriteNumber("processors", Environment.ProcessorCount);
            json.WriteEndObject();
            json.WriteEndArray();
        });
    }
}
