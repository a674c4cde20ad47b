using System.Buffers.Binary;
using System.Text.Json;

namespace RawDiffusion.Formats;

public static partial class SafeTensors
{
    /// <summary>
    /// Writes a file: names in the given order, data ordered by falling element size so that each tensor is aligned to its
    /// elements. The file appears whole or not at all; it may replace the one that the tensors are read from.
    /// </summary>
    /// <param name="path">The file to make or replace.</param>
    /// <param name="tensors">Names and tensors; each is read once, when its turn comes.</param>
    /// <param name="metadata">Free text to carry, or null.</param>
    /// <exception cref="ArgumentException">A name occurs twice, or is <c>__metadata__</c>.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(
        string path, IEnumerable<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        KeyValuePair<string, Tensor>[] all = [.. tensors];
        HashSet<string> names = new(StringComparer.Ordinal) { MetadataKey };
        foreach ((string name, _) in all)
        {
            if (!names.Add(name)) throw new ArgumentException($"the tensor name '{name}' occurs twice or is reserved");
        }
        KeyValuePair<string, Tensor>[] ordered = [.. all.OrderByDescending(t => t.Value.Type.Size())];
        Dictionary<string, long> offsets = new(StringComparer.Ordinal);
        long end = 0;
        foreach ((string name, Tensor tensor) in ordered)
        {
            offsets.Add(name, end);
            end += tensor.ByteCount;
        }
        byte[] header = Header(all, offsets, metadata);
        AtomicFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            stream.Write(length);
            stream.Write(header);
            foreach ((_, Tensor tensor) in ordered) stream.Write(tensor.ToBytes());
        });
    }

    private static byte[] Header(
        KeyValuePair<string, Tensor>[] tensors, Dictionary<string, long> offsets, IReadOnlyDictionary<string, string>? metadata)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject(MetadataKey);
                foreach ((string key, string value) in metadata) json.WriteString(key, value);
                json.WriteEndObject();
            }
            foreach ((string name, Tensor tensor) in tensors)
            {
                json.WriteStartObject(name);
                json.WriteString("dtype", Name(tensor.Type));
                json.WriteStartArray("shape");
                foreach (int d in tensor.Shape) json.WriteNumberValue(d);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offsets[name]);
                json.WriteNumberValue(offsets[name] + tensor.ByteCount);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        // Spaces up to a multiple of 8, so that the data is aligned in the file.
        while (buffer.Length % 8 != 0) buffer.WriteByte((byte)' ');
        return buffer.ToArray();
    }
}
