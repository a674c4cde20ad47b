using System.Numerics;
using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>
/// What torch.save wrote, as plain values: the object graph of a zip or legacy file, its tensors readable while the
/// archive is open. Nothing in the file is executed. <see cref="Checkpoint.Open"/> is the way to a state dict.
/// </summary>
public sealed class PyTorchArchive : IDisposable
{
    /// <summary>The longest pickle that is read; a state dict's takes about 200 bytes a tensor.</summary>
    public const int MaxPickleBytes = 64 << 20;

    /// <summary>0x1950a86a20f9469cfc6c as the pickle opcode LONG1: in the first of a legacy file's pickles.</summary>
    private static readonly byte[] LegacyMagic = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

    private readonly FileContent file;

    private PyTorchArchive(FileContent file, object? root)
    {
        this.file = file;
        Root = root;
    }

    /// <summary>
    /// The saved object. Python's values become: None null, bool, int <see cref="long"/> or
    /// <see cref="BigInteger"/>, float <see cref="double"/>, str <see cref="string"/>, bytes
    /// <c>byte[]</c>, tuple <c>object?[]</c>, list <see cref="List{T}"/>, dict and OrderedDict
    /// <see cref="OrderedDictionary{TKey,TValue}"/>, set <see cref="HashSet{T}"/>, tensor and parameter
    /// <see cref="Tensor"/>.
    /// </summary>
    public object? Root { get; }

    /// <summary>Opens a file that torch.save wrote and reads its object graph; tensors are read when they are asked for.</summary>
    /// <exception cref="FileFormatException">The file is malformed, or holds more than tensors and plain containers.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static PyTorchArchive Open(string path)
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

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    internal static bool IsZip(FileContent file) => Start(file, 4).SequenceEqual("PK\u0003\u0004"u8);

    /// <summary>A pickle whose first value is the magic number; protocol 4 has a frame's length before it.</summary>
    internal static bool IsLegacy(FileContent file)
    {
        ReadOnlySpan<byte> start = Start(file, 32);
        return start.StartsWith((byte)0x80) && start.IndexOf(LegacyMagic) >= 0;
    }

    internal static PyTorchArchive Read(FileContent file)
    {
        if (IsZip(file)) return new PyTorchArchive(file, ReadZip(file));
        if (IsLegacy(file)) return new PyTorchArchive(file, ReadLegacy(file));
        throw file.Error($"expected a PyTorch checkpoint, but the file starts with {Checkpoint.FirstBytes(file)}");
    }

    private static byte[] Start(FileContent file, int longest) => file.ReadBytes(0, Math.Min(longest, file.Length), "the file's start");

    private static object? ReadZip(FileContent file)
    {
        const string pickleName = "data.pkl";
        var zip = new ZipDirectory(file);
        string pickle = zip.Names.Where(n => n == pickleName || n.EndsWith("/" + pickleName, StringComparison.Ordinal)).MinBy(n => n.Length)
            ?? throw file.Error($"the zip archive should have an entry '{pickleName}', but has {Listing.Of(zip.Names)}; it was not written "
            + "by torch.save");
        string root = pickle[..^pickleName.Length];
        if (zip.Names.Contains(root + "constants.pkl"))
        {
            throw file.Error("the file is a TorchScript archive, which holds a program; save the state dict instead: "
                + "torch.save(model.state_dict(), path)");
        }

        if (zip.Names.Contains(root + "byteorder"))
            RequireLittleEndian(file, Encoding.Latin1.GetString(zip.Read(root + "byteorder", 64)) == "little");

        ZipEntry entry = zip.Locate(pickle);
        if (entry.Length > MaxPickleBytes) throw file.Error($"the pickle has {entry.Length} bytes; at most {MaxPickleBytes} are read");
        PickleReader reader = entry.Deflated ? new PickleReader(file, zip.Inflate(pickle))
            : new PickleReader(file, entry.Position, entry.Position + entry.Length);
        var globals = new PickleGlobals(reader);
        object? value = new PickleMachine(reader, globals).Run();
        foreach ((string key, TorchStorage storage) in globals.Storages)
        {
            string name = $"{root}data/{key}";
            ZipEntry place = zip.Locate(name);
            storage.Position = place.Position;
            if (place.Deflated) storage.Inflated = new Lazy<byte[]>(() => zip.Inflate(name));
            if (storage.Size > 0 && place.Length != storage.Count * storage.Size)
            {
                throw file.Error($"the storage '{key}' should hold {storage.Count} x "
                    + $"{storage.Kind.StorageType?.ToString() ?? storage.Kind.Name}, but its entry has {place.Length} bytes; the file is "
                    + "truncated or damaged");
            }
        }
        return value;
    }

    /// <summary>
    /// Five pickles in a row (magic number, protocol version, facts about the writer's machine, the object, the storages'
    /// keys), then each storage: its 64-bit element count and its elements.
    /// </summary>
    private static object? ReadLegacy(FileContent file)
    {
        var reader = new PickleReader(file, 0, Math.Min(file.Length, MaxPickleBytes));
        var globals = new PickleGlobals(reader);
        object? Next() => new PickleMachine(reader, globals).Run();

        if (Next() is not BigInteger magic || magic != new BigInteger(LegacyMagic.AsSpan(2)))
            throw reader.Error("the magic number is not the first value");
        object? protocol = Next();
        if (protocol is not 1001L)
            throw file.Error($"expected protocol version 1001 of the legacy PyTorch format, found {protocol ?? "None"}");
        if (Next() is OrderedDictionary<object, object?> system && system.TryGetValue("little_endian", out object? little))
            RequireLittleEndian(file, little is true);
        object? value = Next();
        if (Next() is not List<object?> keys) throw reader.Error("the list of storages is missing");

        long position = reader.Position;
        HashSet<string> placed = [];
        foreach (object? key in keys)
        {
            if (key is not string name || !globals.Storages.TryGetValue(name, out TorchStorage? storage) || !placed.Add(name))
                throw reader.Error($"the list of storages names '{key}', which no tensor uses");
            long count = BitConverter.ToInt64(file.ReadBytes(position, 8, $"the size of storage '{name}'"));
            if (count != storage.Count)
                throw file.Error($"the storage '{name}' should hold {storage.Count} elements, but says {count}; the file is damaged");
            if (storage.Size == 0)
            {
                throw file.Error($"the storage '{name}' is a {storage.Kind.Name}, whose length is not known; save the file with a "
                    + "current PyTorch");
            }
            if (count > file.Length)
            {
                throw file.Error($"the storage '{name}' should hold {count} elements, but the file has only {file.Length} bytes; it is "
                    + "truncated or damaged");
            }
            storage.Position = position + 8;
            position = storage.Position + count * storage.Size;
            if (position > file.Length)
            {
                throw file.Error($"the storage '{name}' ends at byte {position}, but the file has {file.Length}; it is truncated, fetch "
                    + "it again");
            }
        }
        foreach (string name in globals.Storages.Keys)
        {
            if (!placed.Contains(name)) throw reader.Error($"the storage '{name}' is not in the list of storages");
        }
        return value;
    }

    private static void RequireLittleEndian(FileContent file, bool little)
    {
        if (!little)
        {
            throw file.Error("the checkpoint was written on a big-endian machine, which is not supported; load and save it on a "
                + "little-endian one");
        }
    }
}
