using System.Buffers.Binary;
using System.Text.Json;

namespace RawDiffusion.Formats;

/// <summary>
/// The safetensors format: 8 bytes little-endian header length, a JSON header (name -> dtype, shape, data_offsets; and
/// <c>__metadata__</c>), then the tensors' bytes. Specification: the README of the safetensors project.
/// </summary>
/// <remarks>
/// Opening takes time linear in the header's length (and its logarithm, where tensors are not in the data's order). In memory it
/// takes at most 16 bytes for each byte of the header, and 1 MiB more.
/// </remarks>
public static partial class SafeTensors
{
    /// <summary>The longest header that is read; the limit of the reference implementation.</summary>
    public const int MaxHeaderBytes = 100_000_000;

    private const string MetadataKey = "__metadata__";

    // "":{"dtype":"U8","shape":[],"data_offsets":[0,0]} and a comma. Lists of so many entries need not grow.
    private const int ShortestEntry = 50;

    private static readonly TensorType[] Types = Enum.GetValues<TensorType>();

    /// <summary>
    /// Opens a file. The header is read and checked now, each tensor when it is asked for. Dispose the result to close it.
    /// </summary>
    /// <param name="path">Path of the file.</param>
    /// <returns>All tensors in the header's order, under the file's own names.</returns>
    /// <exception cref="FileFormatException">The file is no well-formed safetensors file.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TensorFile Open(string path)
    {
        var file = new FileContent(path);
        try
        {
            return Read(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Whether the file starts as safetensors files do: a header length that fits, then '{'.</summary>
    internal static bool Matches(FileContent file)
    {
        if (file.Length < 10) return false;
        Span<byte> start = stackalloc byte[9];
        file.Read(0, start);
        return BinaryPrimitives.ReadUInt64LittleEndian(start) <= MaxHeaderBytes && start[8] == '{';
    }

    internal static TensorFile Read(FileContent file)
    {
        if (file.Length < 8) throw file.Error($"expected a safetensors file, but {file.Length} bytes are too few for one");
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(file.ReadBytes(0, 8, "the header length"));
        if (headerLength > MaxHeaderBytes)
        {
            throw file.Error($"expected a safetensors file, but its header would take {headerLength} bytes (at most {MaxHeaderBytes} are "
                + "accepted)");
        }

        byte[] header = file.ReadBytes(8, (long)headerLength, "the safetensors header");

        var reader = new HeaderReader(file, 8 + (long)headerLength, header.Length / ShortestEntry);
        try
        {
            reader.Read(header);
        }
        // Whatever a JSON reader throws about bytes in memory is about the file's content.
        catch (Exception e) when (e is not (FileFormatException or OutOfMemoryException))
        {
            throw file.Error($"the safetensors header is not the JSON that was expected: {e.Message}", e);
        }
        reader.CheckLayout();
        return new TensorFile(reader.Tensors, reader.Metadata, file, null, reader.PassedOver)
        {
            Format = "safetensors",
            Length = file.Length
        };
    }

    private static string Name(TensorType type) => type switch
    {
        TensorType.Bool => "BOOL",
        TensorType.UInt8 => "U8",
        TensorType.Int8 => "I8",
        TensorType.Int16 => "I16",
        TensorType.Int32 => "I32",
        TensorType.Int64 => "I64",
        TensorType.Float16 => "F16",
        TensorType.BFloat16 => "BF16",
        TensorType.Float32 => "F32",
        TensorType.Float64 => "F64",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown tensor type"),
    };

    /// <summary>Reads a header in one pass. Messages are made when they are needed: a million that are not would take a gigabyte.</summary>
    private sealed class HeaderReader(FileContent file, long dataStart, int most)
    {
        private readonly HashSet<string> others = new(StringComparer.Ordinal); // names of what is no tensor of ours
        private readonly List<Place> places = new(most);

        public OrderedDictionary<string, Tensor> Tensors { get; } = new(most, StringComparer.Ordinal);

        public Dictionary<string, string> Metadata { get; } = [];

        /// <summary>Tensors of types that we do not compute with.</summary>
        public List<string> PassedOver { get; } = [];

        public void Read(byte[] header)
        {
            var json = new Utf8JsonReader(header);
            json.Read();
            if (json.TokenType != JsonTokenType.StartObject) throw file.Error("the header is not a JSON object");
            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                string name = json.GetString()!;
                if (name.Length > WeightNames.Longest)
                    throw file.Error($"a tensor's name has {name.Length} characters; at most {WeightNames.Longest} are read");
                if (Tensors.ContainsKey(name) || others.Contains(name)) throw file.Error($"the name '{name}' occurs twice in the header");
                json.Read();
                if (json.TokenType != JsonTokenType.StartObject) throw file.Error($"the header's entry '{name}' is not a JSON object");
                if (name == MetadataKey) ReadMetadata(ref json);
                else ReadEntry(ref json, name);
                if (!Tensors.ContainsKey(name)) others.Add(name);
            }
            // Only white space may follow; the reader throws on anything else.
            json.Read();
        }

        /// <summary>Requires that the tensors' bytes follow each other without gaps, from the header to the file's end.</summary>
        public void CheckLayout()
        {
            places.Sort();
            long position = 0, dataLength = file.Length - dataStart;
            foreach (Place place in places)
            {
                if (place.Begin != position)
                {
                    throw file.Error(
                        $"tensor '{place.Name}' should begin at data byte {position}, where the one before ends, but begins at "
                            + $"{place.Begin}");
                }
                position = place.End;
            }
            if (position != dataLength)
            {
                throw file.Error(
                    $"the tensors take {position} bytes, but {dataLength} follow the header; the file is truncated or damaged, fetch "
                        + "it again");
            }
        }

        private void ReadMetadata(ref Utf8JsonReader json)
        {
            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                string key = json.GetString()!;
                json.Read();
                if (json.TokenType != JsonTokenType.String) throw file.Error($"the metadata '{key}' is not a string");
                if (!Metadata.TryAdd(key, json.GetString()!)) throw file.Error($"the metadata '{key}' occurs twice");
            }
        }

        private void ReadEntry(ref Utf8JsonReader json, string name)
        {
            Span<long> shape = stackalloc long[TensorShape.MaxRank], offsets = stackalloc long[TensorShape.MaxRank];
            int rank = -1, ends = -1;
            TensorType? type = null;
            string? otherType = null;
            while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
            {
                if (json.ValueTextEquals("dtype"u8))
                {
                    json.Read();
                    if (json.TokenType != JsonTokenType.String) throw file.Error($"the dtype of '{name}' is not a string");
                    type = TypeOf(in json);
                    otherType = type is null ? json.GetString() : null;
                }
                else if (json.ValueTextEquals("shape"u8))
                {
                    rank = ReadIntegers(ref json, name, "shape", shape);
                }
                else if (json.ValueTextEquals("data_offsets"u8))
                {
                    ends = ReadIntegers(ref json, name, "data_offsets", offsets);
                }
                else
                {
                    json.Skip();
                }
            }
            if (type is null && otherType is null || rank < 0 || ends != 2)
                throw file.Error($"tensor '{name}' needs dtype, shape and two data_offsets in the header");
            (long begin, long end) = (offsets[0], offsets[1]);
            places.Add(new Place(begin, end, name));
            if (type is null)
            {
                if (end < begin) throw file.Error($"tensor '{name}' ends before it begins: its offsets are {begin} to {end}");
                PassedOver.Add($"'{name}' (a tensor of {otherType})");
                return;
            }
            int[] dimensions = TensorShape.Check(file, name, type.Value, shape[..rank]);
            long bytes = TensorShape.Count(dimensions) * type.Value.Size();
            if (end - begin != bytes)
            {
                throw file.Error(
                    $"tensor '{name}' of {Name(type.Value)} [{string.Join(", ", dimensions)}] takes {bytes} bytes, "
                    + $"but its offsets are {begin} to {end}");
            }
            Tensors.Add(name, new Tensor(type.Value, dimensions, file, dataStart + begin));
        }

        private int ReadIntegers(ref Utf8JsonReader json, string name, string key, scoped Span<long> values)
        {
            int count = 0;
            json.Read();
            if (json.TokenType != JsonTokenType.StartArray) throw file.Error($"{key} of '{name}' is not an array");
            while (json.Read() && json.TokenType != JsonTokenType.EndArray)
            {
                if (json.TokenType != JsonTokenType.Number || !json.TryGetInt64(out long value) || value < 0)
                    throw file.Error($"{key} of '{name}' holds something other than a natural number");
                if (count < values.Length) values[count] = value;
                count++;
            }
            if (count > values.Length) throw file.Error($"{key} of '{name}' has {count} dimensions; at most {values.Length} are supported");
            return count;
        }

        private static TensorType? TypeOf(in Utf8JsonReader json)
        {
            foreach (TensorType type in Types)
            {
                if (json.ValueTextEquals(Name(type))) return type;
            }
            return null;
        }
    }

    /// <summary>Where a tensor's bytes are, from the end of the header.</summary>
    private readonly record struct Place(long Begin, long End, string Name) : IComparable<Place>
    {
        public int CompareTo(Place other) => (Begin, End).CompareTo((other.Begin, other.End));
    }
}
