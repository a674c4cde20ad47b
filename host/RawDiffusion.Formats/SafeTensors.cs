using System.Buffers.Binary;
using System.Text.Json;

namespace RawDiffusion.Formats;

/// <summary>
/// The safetensors format: 8 bytes little-endian header length, a JSON header (name -> dtype, shape, data_offsets; and
/// <c>__metadata__</c>), then the tensors' bytes. Specification: the README of the safetensors project.
/// </summary>
public static partial class SafeTensors
{
    /// <summary>The longest header that is read; the limit of the reference implementation.</summary>
    public const int MaxHeaderBytes = 100_000_000;

    private const string MetadataKey = "__metadata__";

    /// <summary>
    /// Opens a file. The header is read and checked now, each tensor when it is asked for. Dispose the result to close it.
    /// </summary>
    /// <param name="path">The file.</param>
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
            throw file.Error($"expected a safetensors file, but its header would take {headerLength} bytes (at most {MaxHeaderBytes} are accepted)");
        byte[] header = file.ReadBytes(8, (long)headerLength, "the safetensors header");

        List<Entry> entries = [];
        Dictionary<string, string> metadata = [];
        try
        {
            ReadHeader(file, header, entries, metadata);
        }
        // Utf8JsonReader reports text that is not UTF-8 or not UTF-16 as InvalidOperationException.
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw file.Error($"the safetensors header is not the JSON that was expected: {e.Message}", e);
        }

        long dataStart = 8 + (long)headerLength;
        CheckLayout(file, entries, file.Length - dataStart);
        return new TensorFile(entries.Select(e => KeyValuePair.Create(e.Name, e.ToTensor(file, dataStart))), metadata, file) { Format = "safetensors", Length = file.Length };
    }

    private static void ReadHeader(FileContent file, byte[] header, List<Entry> entries, Dictionary<string, string> metadata)
    {
        var json = new Utf8JsonReader(header);
        HashSet<string> names = new(StringComparer.Ordinal);
        json.Read();
        Expect(file, json.TokenType == JsonTokenType.StartObject, "the header is not a JSON object");
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string name = json.GetString()!;
            Expect(file, names.Add(name), $"the name '{name}' occurs twice in the header");
            json.Read();
            Expect(file, json.TokenType == JsonTokenType.StartObject, $"the header's entry '{name}' is not a JSON object");
            if (name == MetadataKey) ReadMetadata(file, ref json, metadata);
            else entries.Add(ReadEntry(file, ref json, name));
        }
        // Only white space may follow; the reader throws on anything else.
        json.Read();
    }

    private static void ReadMetadata(FileContent file, ref Utf8JsonReader json, Dictionary<string, string> metadata)
    {
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string key = json.GetString()!;
            json.Read();
            Expect(file, json.TokenType == JsonTokenType.String, $"the metadata '{key}' is not a string");
            Expect(file, metadata.TryAdd(key, json.GetString()!), $"the metadata '{key}' occurs twice");
        }
    }

    private static Entry ReadEntry(FileContent file, ref Utf8JsonReader json, string name)
    {
        TensorType? type = null;
        List<long>? shape = null, offsets = null;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            string key = json.GetString()!;
            json.Read();
            switch (key)
            {
                case "dtype":
                    Expect(file, json.TokenType == JsonTokenType.String, $"the dtype of '{name}' is not a string");
                    type = ToType(file, name, json.GetString()!);
                    break;
                case "shape":
                    shape = ReadIntegers(file, ref json, name, key);
                    break;
                case "data_offsets":
                    offsets = ReadIntegers(file, ref json, name, key);
                    break;
                default:
                    json.Skip();
                    break;
            }
        }
        if (type is null || shape is null || offsets is not { Count: 2 })
            throw file.Error($"tensor '{name}' needs dtype, shape and two data_offsets in the header");
        int[] dimensions = TensorShape.Check(file, name, type.Value, shape);
        return new Entry(name, type.Value, dimensions, offsets[0], offsets[1]);
    }

    private static List<long> ReadIntegers(FileContent file, ref Utf8JsonReader json, string name, string key)
    {
        List<long> values = [];
        Expect(file, json.TokenType == JsonTokenType.StartArray, $"{key} of '{name}' is not an array");
        while (json.Read() && json.TokenType != JsonTokenType.EndArray)
        {
            long value = 0;
            Expect(file, json.TokenType == JsonTokenType.Number && json.TryGetInt64(out value) && value >= 0,
                $"{key} of '{name}' holds something other than a natural number");
            values.Add(value);
            Expect(file, values.Count <= TensorShape.MaxRank, $"tensor '{name}' has more than {TensorShape.MaxRank} dimensions");
        }
        return values;
    }

    private static void CheckLayout(FileContent file, List<Entry> entries, long dataLength)
    {
        long position = 0;
        foreach (Entry e in entries.OrderBy(e => e.Begin).ThenBy(e => e.End))
        {
            long bytes = TensorShape.Count(e.Shape) * e.Type.Size();
            Expect(file, e.End >= e.Begin && e.End - e.Begin == bytes,
                $"tensor '{e.Name}' of {Name(e.Type)} [{string.Join(", ", e.Shape)}] takes {bytes} bytes, but its offsets are {e.Begin} to {e.End}");
            Expect(file, e.Begin == position,
                $"tensor '{e.Name}' should begin at data byte {position}, where the one before ends, but begins at {e.Begin}");
            position = e.End;
        }
        Expect(file, position == dataLength,
            $"the tensors take {position} bytes, but {dataLength} follow the header; the file is truncated or damaged, fetch it again");
    }

    private static TensorType ToType(FileContent file, string name, string dtype)
    {
        foreach (TensorType type in Enum.GetValues<TensorType>())
        {
            if (Name(type) == dtype) return type;
        }
        throw file.Error($"tensor '{name}' has the type {dtype}; supported are {string.Join(", ", Enum.GetValues<TensorType>().Select(Name))}");
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

    // The text is made only where it is needed.
    private static void Expect(FileContent file, bool condition, [System.Runtime.CompilerServices.InterpolatedStringHandlerArgument("condition")] ref FailureText message)
    {
        if (!condition) throw file.Error(message.ToString());
    }

    private static void Expect(FileContent file, bool condition, string message)
    {
        if (!condition) throw file.Error(message);
    }

    [System.Runtime.CompilerServices.InterpolatedStringHandler]
    private readonly ref struct FailureText
    {
        private readonly System.Text.StringBuilder? text;

        public FailureText(int literalLength, int formattedCount, bool condition, out bool isNeeded)
        {
            isNeeded = !condition;
            text = isNeeded ? new System.Text.StringBuilder(literalLength + 16 * formattedCount) : null;
        }

        public void AppendLiteral(string literal) => text!.Append(literal);

        public void AppendFormatted<T>(T value) => text!.Append(value);

        public override string ToString() => text?.ToString() ?? "";
    }

    private sealed record Entry(string Name, TensorType Type, int[] Shape, long Begin, long End)
    {
        public Tensor ToTensor(FileContent file, long dataStart) => new(Type, Shape, bytes => file.Read(dataStart + Begin, bytes));
    }
}
