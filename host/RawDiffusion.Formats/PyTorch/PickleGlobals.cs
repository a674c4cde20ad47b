using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>A global that a pickle may name.</summary>
internal sealed record PickleGlobal(string Name)
{
    /// <summary>The element type, where the global is a storage class that has one.</summary>
    public TensorType? StorageType { get; init; }
}

/// <summary>The list of globals that a pickle may name, and what calling each of them builds.</summary>
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

    private static readonly HashSet<string> Known =
    [
        "collections.OrderedDict", TensorFunction, "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state", "torch._tensor._rebuild_from_type_v2", "torch.Tensor", "torch.Size", "torch.device", "torch.storage.TypedStorage",
        "torch.float64", "torch.float32", "torch.float16", "torch.bfloat16", "torch.int64", "torch.int32", "torch.int16",
        "torch.int8", "torch.uint8", "torch.bool",
        // Protocol 2 has no opcodes for sets and bytes: these calls stand for them.
        "builtins.set", "builtins.frozenset", "builtins.bytes", "_codecs.encode",
    ];

    private readonly long firstByte = reader.Position;
    private long copied;

    /// <summary>Every storage that was named, by its key.</summary>
    public Dictionary<string, TorchStorage> Storages { get; } = new(StringComparer.Ordinal);

    /// <summary>The global of that name.</summary>
    /// <exception cref="FileFormatException">It is not in the list.</exception>
    public PickleGlobal Find(string module, string name)
    {
        if (module == "__builtin__") module = "builtins";
        string fullName = $"{module}.{name}";
        if (StorageTypes.TryGetValue(fullName, out TensorType type)) return new PickleGlobal(fullName) { StorageType = type };
        if (Known.Contains(fullName)) return new PickleGlobal(fullName);
        if (module == "torch" && name.EndsWith("Storage", StringComparison.Ordinal))
            throw reader.File.Error($"the checkpoint holds a {fullName}, a tensor type that is not supported; convert it to float32 in PyTorch first");
        throw reader.File.Error(
            $"the checkpoint names the Python object '{fullName}', which is refused: only tensors and plain containers are read. "
            + "In PyTorch, save the state dict alone: torch.save(model.state_dict(), path)");
    }

    /// <summary>The storage that a persistent id stands for.</summary>
    public TorchStorage Storage(object? id)
    {
        if (id is not object?[] { Length: 5 or 6 } tuple
            || tuple is not ["storage", PickleGlobal kind, string key, _, long count, ..] || count < 0)
        {
            throw reader.Error("a persistent id is not ('storage', type, key, location, size)");
        }
        if (kind.StorageType is not { } type) throw reader.Error($"the storage '{key}' has no element type");
        if (tuple.Length == 6 && tuple[5] is not null)
            throw reader.File.Error("storages that share memory, as PyTorch wrote before 0.4, are not supported; load and save the file with a current PyTorch");
        if (count > reader.File.Length / type.Size())
            throw reader.File.Error($"the storage '{key}' should hold {count} x {type}, but the file has only {reader.File.Length} bytes; it is truncated or damaged");
        if (!Storages.TryGetValue(key, out TorchStorage? storage))
        {
            storage = new TorchStorage(reader.File, key, type, count);
            Storages.Add(key, storage);
        }
        if (storage.Type != type || storage.Count != count)
            throw reader.Error($"the storage '{key}' is named with two types or sizes");
        return storage;
    }

    /// <summary>What calling a global with these arguments gives.</summary>
    public object? Call(PickleGlobal function, object?[] arguments)
    {
        switch (function.Name, arguments)
        {
            // A tensor with attributes of its own, which are left aside.
            case ("torch._tensor._rebuild_from_type_v2", [PickleGlobal { Name: TensorFunction }, PickleGlobal { Name: "torch.Tensor" }, object?[] inner, ..]):
                return Tensor(inner);
            case (TensorFunction, _):
                return Tensor(arguments);
            case ("torch._utils._rebuild_parameter" or "torch._utils._rebuild_parameter_with_state", [Tensor data, ..]):
                return data;
            case ("torch.Size", [object?[] dimensions]):
                return dimensions;
            case ("torch.device", [string, ..]):
                return arguments[0];
            case ("collections.OrderedDict", []):
                return new OrderedDictionary<object, object?>(PickleKeyComparer.Instance);
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
                throw reader.Error($"'{function.Name}' is called with unexpected arguments");
        }
    }

    private Tensor Tensor(object?[] arguments) => arguments is [TorchStorage storage, long offset, object?[] shape, object?[] strides, ..]
        ? storage.View(offset, Integers(shape), Integers(strides))
        : throw reader.Error($"'{TensorFunction}' is called with unexpected arguments");

    private OrderedDictionary<object, object?> Dictionary(List<object?> pairs)
    {
        Charge(pairs.Count);
        var dictionary = new OrderedDictionary<object, object?>(PickleKeyComparer.Instance);
        foreach (object? pair in pairs)
        {
            (object? key, object? value) = pair switch
            {
                List<object?> { Count: 2 } list => (list[0], list[1]),
                object?[] { Length: 2 } tuple => (tuple[0], tuple[1]),
                _ => throw reader.Error("an OrderedDict is made of something other than pairs"),
            };
            dictionary[key ?? throw reader.Error("None as a dict's key is not supported")] = value;
        }
        return dictionary;
    }

    private HashSet<object> Set(List<object?> items)
    {
        Charge(items.Count);
        return new HashSet<object>(items.Select(item => item ?? throw reader.Error("None in a set is not supported")), PickleKeyComparer.Instance);
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
        if (items.Length > TensorShape.MaxRank) throw reader.File.Error($"a tensor has {items.Length} dimensions; at most {TensorShape.MaxRank} are supported");
        return [.. items.Select(item => item is long value ? value : throw reader.Error("a tensor's shape is not made of integers"))];
    }
}
