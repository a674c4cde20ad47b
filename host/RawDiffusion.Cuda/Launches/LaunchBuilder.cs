using System.Buffers.Binary;
using System.Globalization;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Launches;

/// <summary>
/// States a launch: macros, then parameters in the order of the kernel's signature. Each call that adds a parameter says
/// what the kernel does with it, from which the graph's dependencies follow.
/// </summary>
/// <param name="memory">Where values lie and how they are stored.</param>
/// <param name="launches">Receives the launch.</param>
/// <param name="specialize">Whether extents become compile-time constants.</param>
/// <param name="file">The kernel's file.</param>
/// <param name="kernel">The kernel.</param>
internal sealed class LaunchBuilder(ValueMemory memory, List<DeviceLaunch> launches, bool specialize, string file, string kernel)
{
    /// <summary>Most blocks of a grid in y and in z.</summary>
    public const int MaxBlocks = 65535;

    // Elements that one block copies.
    private const long CopiedPart = 4096;

    private readonly List<(string, string)> defines = [];
    private readonly List<DeviceRange> reads = [];
    private readonly List<DeviceRange> writes = [];
    private readonly List<byte> arguments = [];
    private readonly HashSet<Storage> types = [Storage.F32, Storage.I32];
    private readonly List<Value> values = [];

    /// <summary>A macro with an integer value.</summary>
    public LaunchBuilder Define(string name, int value) => Define(name, value.ToString(CultureInfo.InvariantCulture));

    /// <summary>A macro that is 1 or 0.</summary>
    public LaunchBuilder Define(string name, bool value) => Define(name, value ? 1 : 0);

    /// <summary>A macro with any text.</summary>
    public LaunchBuilder Define(string name, string value)
    {
        defines.Add((name, value));
        return this;
    }

    /// <summary>A macro that names an element type: <c>float</c>, <c>bf16</c>, <c>f16</c>, <c>int</c>.</summary>
    public LaunchBuilder Type(string name, Storage storage)
    {
        types.Add(storage);
        return Define(name, storage switch
        {
            Storage.Bf16 => "bf16",
            Storage.F16 => "f16",
            Storage.I32 => "int",
            Storage.F32 => "float",
            _ => throw GraphException.Unhandled(storage),
        });
    }

    /// <summary>
    /// An extent of the shape: an <c>int</c> parameter named <paramref name="name"/> in lower case + <c>_arg</c>, and a
    /// macro <paramref name="name"/> that the kernel uses. It stands for the parameter, or for the number itself where
    /// kernels are specialised on shapes.
    /// </summary>
    public LaunchBuilder Extent(string name, int value)
    {
        if (specialize) Define(name, value);
        else Define(name, string.Concat(name.Select(char.ToLowerInvariant)) + "_arg");
        return Argument(value);
    }

    /// <summary>A pointer to memory that the kernel reads; null for an absent value.</summary>
    /// <exception cref="GraphException">It has more elements than kernels count.</exception>
    public LaunchBuilder Read(Value? value)
    {
        if (value is null) return Read(default(DeviceRange));
        Elementwise.Count(value);
        values.Add(value);
        return Read(memory.Aligned(value, (source, copy) => Copy(memory, launches, specialize, memory.StorageOf(value), [(source, copy)])));
    }

    /// <inheritdoc cref="Read(Value)"/>
    public LaunchBuilder Read(DeviceRange range)
    {
        if (range.Bytes > 0) reads.Add(range);
        return Pointer(range.Address);
    }

    /// <summary>A pointer to memory that the kernel assigns.</summary>
    /// <exception cref="GraphException">It has more elements than kernels count.</exception>
    public LaunchBuilder Write(Value value)
    {
        Elementwise.Count(value);
        values.Add(value);
        return Write(memory.Memory(value));
    }

    /// <inheritdoc cref="Write(Value)"/>
    public LaunchBuilder Write(DeviceRange range)
    {
        if (range.Bytes > 0) writes.Add(range);
        return Pointer(range.Address);
    }

    /// <summary>Memory that the kernel reads through addresses that it reads.</summary>
    public LaunchBuilder AlsoReads(DeviceRange range)
    {
        if (range.Bytes > 0) reads.Add(range);
        return this;
    }

    /// <summary>Memory that the kernel assigns through addresses that it reads.</summary>
    public LaunchBuilder AlsoWrites(DeviceRange range)
    {
        if (range.Bytes > 0) writes.Add(range);
        return this;
    }

    /// <summary>A pointer to memory that the kernel reads and writes.</summary>
    public LaunchBuilder Update(DeviceRange range)
    {
        if (range.Bytes > 0) reads.Add(range);
        return Write(range);
    }

    /// <summary>An <c>int</c> parameter.</summary>
    public LaunchBuilder Argument(int value)
    {
        Span<byte> bytes = Reserve(4);
        BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
        return Append(bytes);
    }

    /// <summary>An <c>unsigned</c> parameter.</summary>
    public LaunchBuilder Argument(uint value) => Argument((int)value);

    /// <summary>A <c>long long</c> parameter.</summary>
    public LaunchBuilder Argument(long value)
    {
        Span<byte> bytes = Reserve(8);
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        return Append(bytes);
    }

    /// <summary>A <c>float</c> parameter.</summary>
    public LaunchBuilder Argument(float value)
    {
        Span<byte> bytes = Reserve(4);
        BinaryPrimitives.WriteSingleLittleEndian(bytes, value);
        return Append(bytes);
    }

    /// <summary>Adds the launch to its node. A grid without blocks (an empty batch) launches nothing.</summary>
    /// <exception cref="GraphException">A value is stored in 16 bits, and no macro tells the kernel of such a type: it would read other
    /// numbers; or the grid has more blocks than a GPU takes.</exception>
    public void Launch(Dim3 grid, Dim3 block, int sharedBytes = 0)
    {
        if (values.Find(v => !types.Contains(memory.StorageOf(v))) is { } untold)
            throw new GraphException($"{kernel} takes {untold} for float32, but it is stored in {memory.StorageOf(untold)}");
        if (grid.Count == 0) return;
        if (grid.Y > MaxBlocks || grid.Z > MaxBlocks)
        {
            throw new GraphException($"{kernel} needs a grid of {grid.X} x {grid.Y} x {grid.Z} blocks; a GPU takes at most {MaxBlocks} in "
                + "y and in z: use a smaller batch or smaller images");
        }

        launches.Add(new KernelLaunch(new KernelVariant(file, kernel, defines), new LaunchGeometry(grid, block, sharedBytes),
            [.. arguments],
            reads, writes));
    }

    /// <summary>Launches one thread for each vector of <paramref name="count"/> elements; defines VECTOR.</summary>
    public void LaunchElementwise(int count, int vector) =>
        Define("VECTOR", vector).Launch((count + Elementwise.Block * vector - 1) / (Elementwise.Block * vector), Elementwise.Block);

    /// <summary>Adds a launch of <c>kernels/pack.cu</c> that copies tensors, on any boundaries.</summary>
    /// <param name="memory">Gives memory for the table of what to copy.</param>
    /// <param name="launches">Receives the launch.</param>
    /// <param name="specialize">Whether extents become compile-time constants.</param>
    /// <param name="storage">How the tensors are stored.</param>
    /// <param name="moves">From where to where.</param>
    public static void Copy(ValueMemory memory, List<DeviceLaunch> launches, bool specialize, Storage storage,
        IReadOnlyList<(DeviceRange Source, DeviceRange Destination)> moves)
    {
        int bytes = StoragePolicy.ElementBytes(storage);
        var table = new List<ulong>();
        foreach ((DeviceRange source, DeviceRange destination) in moves)
        {
            long count = source.Bytes / bytes;
            for (long first = 0; first < count; first += CopiedPart)
            {
                table.AddRange([source.Address + (ulong)(first * bytes), destination.Address + (ulong)(first * bytes),
                    (ulong)Math.Min(CopiedPart, count - first)]);
            }
        }
        LaunchBuilder launch = new LaunchBuilder(memory, launches, specialize, "pack.cu", "pack_forward").Type("X_T", storage)
            .Read(memory.Upload<ulong>([.. table]));
        foreach ((DeviceRange source, DeviceRange destination) in moves) launch.AlsoReads(source).AlsoWrites(destination);
        launch.Launch(table.Count / 3, Elementwise.Block);
    }

    private LaunchBuilder Pointer(ulong address)
    {
        Span<byte> bytes = Reserve(8);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, address);
        return Append(bytes);
    }

    // Pads to the parameter's natural alignment.
    private byte[] Reserve(int size)
    {
        while (arguments.Count % size != 0) arguments.Add(0);
        return new byte[size];
    }

    private LaunchBuilder Append(ReadOnlySpan<byte> bytes)
    {
        arguments.AddRange(bytes);
        return this;
    }
}
