using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>A global that a pickle names.</summary>
internal sealed record PickleGlobal(string Name)
{
    /// <summary>The element type, where the global is a storage class that has one.</summary>
    public TensorType? StorageType { get; init; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>
/// The globals that build something, and what calling each of them builds. A call of any other is a <see cref="PickleObject"/>: nothing
/// runs.
/// </summary>
internal sealed class PickleGlobals(PickleReader reader)
{
    private const string TensorFunction = "torch._utils._rebuild_tensor_v2";

    private static readonly Dictionary<string, TensorType> StorageTypes = new()
    {
        ["torch.DoubleStorage"] = TensorType.Float64,
        ["torch.FloatStorage"] = TensorType.Float32,
        ["torch.HalfStorage"] = TensorType.Float16,
        ["torch.BFloat16Storage"] = TensorType.BFloat16,
        ["torch.LongStorage"] = TensorType.Int64,
        ["torch.IntStorage"] = TensorType.Int32,
        ["torch.ShortStorage"] = TensorType.Int16,
        ["torch.CharStorage"] = TensorType.Int8,
        ["torch.ByteStorage"] = TensorType.UInt8,
        ["torch.BoolStorage"] = TensorType.Bool,
        ["torch.UntypedStorage"] = TensorType.UInt8,
        ["torch.storage.UntypedStorage"] = TensorType.UInt8,
    };

    /// <summary>Bytes of an element of storages that are passed over: a legacy file has one after the other.</summary>
    private static readonly Dictionary<string, int> OtherStorages = new()
    {
        ["torch.ComplexFloatStorage"] = 8,
        ["torch.ComplexDoubleStorage"] = 16,
        ["torch.QInt32Storage"] = 4,
        ["torch.QInt8Storage"] = 1,
        ["torch.QUInt8Storage"] = 1,
        ["torch.QUInt4x2Storage"] = 1,
        ["torch.QUInt2x4Storage"] = 1,
    };

    private readonly long firstByte = reader.Position;
    private long copied;

    /// <summary>Every storage that was named, by its key.</summary>
    public Dictionary<string, TorchStorage> Storages { get; } = new(StringComparer.Ordinal);

    /// <summary>The global of that name. Naming one does nothing.</summary>
    public static PickleGlobal Find(string module, string name)
    {
        if (module == "__builtin__") module = "builtins";
        string fullName = $"{module}.{name}";
        return new PickleGlobal(fullName) { StorageType = StorageTypes.TryGetValue(fullName, out TensorType type) ? type : null };
    }

    /// <summary>The storage that a persistent id stands for.</summary>
    public TorchStorage Storage(object? id)
    {
        if (id is not object?[] { Length: 5 or 6 } tuple
            || tuple is not ["storage", PickleGlobal kind, string key, _, long count, ..] || count < 0)
        {
            throw reader.Error("a persistent id is not ('storage', type, key, location, size)");
        }
        if (tuple.Length == 6 && tuple[5] is not null)
        {
            throw reader.File.Error("storages that share memory, as PyTorch wrote before 0.4, are not supported; load and save the file "
                + "with a current PyTorch");
        }
        // The place may be compressed; what it holds is compared with the count where it is known.
        if (count > long.MaxValue / 16) throw reader.File.Error($"the storage '{key}' should hold {count} elements; the file is damaged");
        if (!Storages.TryGetValue(key, out TorchStorage? storage))
        {
            int size = kind.StorageType?.Size() ?? OtherStorages.GetValueOrDefault(kind.Name);
            storage = new TorchStorage(reader.File, key, kind, size, count);
            Storages.Add(key, storage);
        }
        if (storage.Kind != kind || storage.Count != count)
            throw reader.Error($"the storage '{key}' is named with two types or sizes");
        return storage;
    }

    /// <summary>What calling a global with these arguments gives.</summary>
    public object? Call(PickleGlobal function, object?[] arguments)
    {
        switch (function.Name, arguments)
        {
            // A tensor with attributes of its own, which are left aside.
            case ("torch._tensor._rebuild_from_type_v2", [PickleGlobal { Name: TensorFunction }, PickleGlobal, object?[] inner, ..]):
                return Tensor(inner);
            case (TensorFunction, _):
                return Tensor(arguments);
            case ("torch._utils._rebuild_parameter" or "torch._utils._rebuild_parameter_with_state", [Formats.Tensor or PickleObject, ..]):
                return arguments[0];
            case ("torch.Size", [object?[] dimensions]):
                return dimensions;
            case ("torch.device", [string, ..]):
                return arguments[0];
            case ("collections.OrderedDict", []) or ("collections.defaultdict", [_]):
                return new PickleDictionary();
            case ("collections.OrderedDict", [List<object?> pairs]):
                return Dictionary(pairs);
            case ("builtins.set" or "builtins.frozenset", [List<object?> items]):
                return Set(items);
            case ("builtins.bytes", []):
                return Array.Empty<byte>();
            case ("_codecs.encode", [string text, "latin1"]):
                Charge(text.Length);
                return Encoding.Latin1.GetBytes(text);
            default:
                return new PickleObject(function.Name);
        }
    }

    private object Tensor(object?[] arguments)
    {
        if (arguments is not [TorchStorage storage, long offset, object?[] shape, object?[] strides, ..])
            throw reader.Error($"'{TensorFunction}' is called with unexpected arguments");
        if (storage.Kind.StorageType is not { } type) return new PickleObject($"a tensor of {storage.Kind.Name}");
        return storage.View(type, offset, Integers(shape), Integers(strides));
    }

    private PickleDictionary Dictionary(List<object?> pairs)
    {
        Charge(pairs.Count);
        var dictionary = new PickleDictionary();
        foreach (object? pair in pairs)
        {
            (object? key, object? value) = pair switch
            {
                List<object?> { Count: 2 } list => (list[0], list[1]),
                object?[] { Length: 2 } tuple => (tuple[0], tuple[1]),
                _ => throw reader.Error("an OrderedDict is made of something other than pairs"),
            };
            dictionary[key ?? PickleObject.None] = value;
        }
        return dictionary;
    }

    private HashSet<object> Set(List<object?> items)
    {
        Charge(items.Count);
        return new HashSet<object>(items.Select(item => item ?? PickleObject.None), PickleKeyComparer.Instance);
    }

    /// <summary>
    /// Counts copies of values that a pickle can name again and again with two bytes. Honest pickles copy each value once,
    /// so the copies never pass the bytes read so far.
    /// </summary>
    private void Charge(long items)
    {
        copied += items;
        if (copied > reader.Position - firstByte) throw reader.Error("the same values are copied over and over");
    }

    private List<long> Integers(object?[] items)
    {
        if (items.Length > TensorShape.MaxRank)
            throw reader.File.Error($"a tensor has {items.Length} dimensions; at most {TensorShape.MaxRank} are supported");
        return [.. items.Select(item => item is long value ? value : throw reader.Error("a tensor's shape is not made of integers"))];
    }
}
