using System.Text;
using System.Text.Json;
using RawDiffusion.Diffusion.Data;

namespace RawDiffusion.Cli.Output;

/// <summary>One JSON object on standard output, written without reflection.</summary>
internal static class JsonReport
{
    private static readonly JsonWriterOptions Options = new() { Indented = true };

    public static void Write(TextWriter to, Action<Utf8JsonWriter> members)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            json.WriteStartObject();
            members(json);
            json.WriteEndObject();
        }
        to.WriteLine(Encoding.UTF8.GetString(buffer.ToArray()));
    }

    public static void Strings(this Utf8JsonWriter json, string name, IEnumerable<string> values)
    {
        json.WriteStartArray(name);
        foreach (string value in values) json.WriteStringValue(value);
        json.WriteEndArray();
    }

    public static void Integers(this Utf8JsonWriter json, string name, IEnumerable<int> values)
    {
        json.WriteStartArray(name);
        foreach (int value in values) json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    /// <summary>What a set's source holds that is not used, and why.</summary>
    public static void PassedOver(this Utf8JsonWriter json, ImageSet set)
    {
        json.WriteStartArray("passed_over");
        foreach (PassedOverGroup group in set.PassedOver.Groups)
        {
            json.WriteStartObject();
            json.WriteString("why", group.Why);
            json.WriteNumber("count", group.Count);
            json.Strings("examples", group.Examples);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <summary>What a set holds; by its name, or by all that its images depend on.</summary>
    public static void Set(this Utf8JsonWriter json, string name, ImageSet set)
    {
        json.WriteString("set", name);
        json.WriteNumber("count", set.Count);
        json.WriteNumber("size", set.Size);
        json.WriteNumber("objects", set.Objects);
        json.Strings("attributes", set.AttributeNames);
        json.PassedOver(set);
    }
}
