using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Where the values of a graph lie in device memory and how they are stored, and memory of the launches' own.</summary>
internal class ValueMemory(DeviceMemory memory, MemoryPlan plan, StoragePolicy storage)
{
    // The widest load.
    private const int VectorBytes = 16;

    private readonly Dictionary<(Value Root, long First, Shape Shape, string Layout), DeviceRange> constants = [];
    private readonly Dictionary<Value, DeviceRange> aligned = [];
    private readonly Dictionary<long, DeviceRange> arenas = [];
    private DeviceRange? arena;

    /// <summary>What the launches will run on.</summary>
    public CudaDeviceInfo Device => memory.Device;

    /// <summary>How a value is stored.</summary>
    public Storage StorageOf(Value value) => storage.Of(value);

    /// <summary>Where a value lies; a constant is uploaded as float32 when it is first asked for.</summary>
    public DeviceRange Memory(Value value)
    {
        (Value root, long first) = value.Viewed;
        if (root.Kind == ValueKind.Constant)
        {
            return Constant(root, "float32", static data => MemoryMarshal.AsBytes(data.AsSpan()).ToArray())
                .Slice(4 * first, 4 * value.Shape.Count);
        }
        int element = storage.ElementBytes(root);
        long bytes = element * value.Shape.Count;
        if (bytes == 0) return default;
        if (plan.IsArena) return (arena ??= memory.Allocate(plan.ArenaBytes)).Slice(plan.Offset(value), bytes);
        // Without reuse each value has an allocation of its own, so that an access past its end is an error.
        long offset = plan.Offset(root);
        if (!arenas.TryGetValue(offset, out DeviceRange own)) arenas.Add(offset, own = memory.Allocate(element * root.Shape.Count));
        return own.Slice(element * first, bytes);
    }

    /// <summary>What no value holds of the memory that values share, nor of an array of parameters what is between these.</summary>
    public IEnumerable<DeviceRange> Padding(Graph graph)
    {
        var layouts = new Dictionary<Value, ParameterLayout>();
        foreach (Node node in graph.Nodes)
        {
            if (node.Operator is Pack pack) layouts[node.Output] = pack.Layout;
            if (node.Operator is GradientNorm norm) layouts[node.Input(GradientNorm.Gradients)] = norm.Layout;
            if (node.Operator is Adam adam)
                layouts[node.Input(Adam.State)] = layouts[node.Input(Adam.Gradients)] = layouts[node.Output] = adam.Layout;
        }
        // Others take such an array as a whole: a copy has to hold what is between, too.
        foreach (Node node in graph.Nodes.Where(n => n.Operator is not (Pack or GradientNorm or Adam or View)))
        {
            layouts.Remove(node.Output);
            foreach (Value input in node.Inputs.OfType<Value>()) layouts.Remove(input);
        }
        IEnumerable<DeviceRange> Pieces(Value value)
        {
            DeviceRange range = Memory(value);
            if (!layouts.TryGetValue(value, out ParameterLayout? layout)) return [range];
            return Enumerable.Range(0, (int)(value.Shape.Count / Math.Max(1, layout.Count)))
                .SelectMany(row => layout.Parameters.Select(p => range.Slice(4 * (row * layout.Count + p.Offset), 4 * p.Shape.Count)));
        }
        Value[] values = [.. graph.Inputs.Values, .. graph.Nodes.Where(n => n.Operator is not View).Select(n => n.Output)];
        DeviceRange[] held = [.. values.SelectMany(Pieces).Where(r => r.Bytes > 0).OrderBy(r => r.Address)];
        int next = 0;
        foreach (DeviceRange all in ((DeviceRange[])[.. arenas.Values, arena ?? default]).OrderBy(r => r.Address))
        {
            ulong free = all.Address;
            for (; next < held.Length && held[next].Address < all.End; next++)
            {
                if (held[next].Address > free) yield return new(free, (long)(held[next].Address - free));
                free = Math.Max(free, held[next].End);
            }
            if (free < all.End) yield return new(free, (long)(all.End - free));
        }
    }

    /// <summary>
    /// Where a kernel reads a value: on a boundary of 16 bytes, as kernels read vectors. A value that does not lie on one, a view of a
    /// part of another, has a copy.
    /// </summary>
    /// <param name="value">The value.</param>
    /// <param name="copy">Makes the copy; called for the first reader alone.</param>
    public DeviceRange Aligned(Value value, Action<DeviceRange, DeviceRange> copy)
    {
        DeviceRange range = Memory(value);
        if (range.Address % VectorBytes == 0) return range;
        if (aligned.TryGetValue(value, out DeviceRange place)) return place;
        aligned.Add(value, place = Scratch(range.Bytes));
        copy(range, place);
        return place;
    }

    /// <summary>A constant in another layout or format, packed and uploaded once for all nodes that ask for it.</summary>
    /// <param name="value">Constant, or a view of one.</param>
    /// <param name="layout">Name of the packed form; equal names mean equal forms.</param>
    /// <param name="pack">Makes the bytes from the elements.</param>
    public DeviceRange Constant(Value value, string layout, Func<float[], byte[]> pack)
    {
        (Value root, long first) = value.Viewed;
        if (constants.TryGetValue((root, first, value.Shape, layout), out DeviceRange range)) return range;
        range = memory.Upload(pack(ReadConstant(value)));
        constants.Add((root, first, value.Shape, layout), range);
        return range;
    }

    /// <summary>The elements of a constant, or of a view of one.</summary>
    public static float[] ReadConstant(Value value)
    {
        (Value root, long first) = value.Viewed;
        float[] data = new float[root.Shape.Count];
        root.Constant!(data);
        return value.Shape.Count == data.Length ? data : data[(int)first..(int)(first + value.Shape.Count)];
    }

    /// <summary>A table of this node's own.</summary>
    public DeviceRange Upload<T>(ReadOnlySpan<T> data)
        where T : unmanaged => memory.Upload(MemoryMarshal.AsBytes(data));

    /// <summary>Memory of this node's own, content undefined; lives as long as the executable.</summary>
    public DeviceRange Scratch(long bytes) => memory.Allocate(bytes);

    /// <summary>Counters of this node's own, zero before the first run; a kernel leaves them zero.</summary>
    public DeviceRange Counters(int count) => memory.Upload(new byte[4 * count]);
}
