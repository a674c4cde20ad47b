namespace RawDiffusion.Formats.PyTorch;

/// <summary>
/// A flat array in a checkpoint that one or more tensors are views of. Its place in the file is set once known.
/// </summary>
/// <param name="file">The file.</param>
/// <param name="key">Its name.</param>
/// <param name="kind">Its class in PyTorch.</param>
/// <param name="size">Bytes of an element; 0 where they are not known.</param>
/// <param name="count">Elements.</param>
internal sealed class TorchStorage(FileContent file, string key, PickleGlobal kind, int size, long count)
{
    /// <summary>
    /// A view that repeats elements (stride 0, as <c>expand</c> makes) may be larger than its storage, but only up to this
    /// many elements: otherwise a file of a few bytes could ask for gigabytes.
    /// </summary>
    public const int MaxRepeatedElements = 1 << 20;

    public PickleGlobal Kind => kind;

    public int Size => size;

    public long Count => count;

    /// <summary>Where the storage's bytes begin in the file, where they are not compressed.</summary>
    public long Position { get; set; }

    /// <summary>Makes the bytes of a storage that is compressed; they are kept, so that many views of one are no danger.</summary>
    public Lazy<byte[]>? Inflated { get; set; }

    /// <summary>A tensor over part of the storage; it reads its bytes when it is asked for them.</summary>
    /// <exception cref="FileFormatException">The view reaches outside the storage, or repeats too many elements.</exception>
    public Tensor View(TensorType type, long offset, IReadOnlyList<long> shape, IReadOnlyList<long> strides)
    {
        string name = $"in storage '{key}'";
        int[] dimensions = TensorShape.Check(file, name, type, [.. shape]);
        if (strides.Count != shape.Count) throw file.Error($"a tensor {name} has {shape.Count} dimensions and {strides.Count} strides");
        if (offset < 0 || strides.Any(s => s < 0)) throw file.Error($"a tensor {name} has a negative offset or stride");

        long elements = TensorShape.Count(dimensions);
        if (elements == 0) return new Tensor(type, dimensions, _ => { });
        if (elements > Math.Max(count, MaxRepeatedElements))
            throw file.Error($"a tensor {name} repeats {count} elements to {elements}; more than {MaxRepeatedElements} are refused");
        Int128 last = offset;
        for (int i = 0; i < dimensions.Length; i++) last += (Int128)(dimensions[i] - 1) * strides[i];
        if (last >= count) throw file.Error($"a tensor {name} needs element {last}, but the storage has {count}; the file is damaged");

        // The elements between the first and the last one are read at once and gathered from memory.
        long span = (long)last + 1 - offset;
        if (span > Array.MaxLength / type.Size()) throw file.Error($"a strided tensor {name} spans more than 2 GiB");
        bool contiguous = IsContiguous(dimensions, strides);
        return new Tensor(type, dimensions, destination =>
        {
            long start = offset * type.Size();
            if (contiguous)
            {
                Read(start, destination);
                return;
            }
            byte[] source = new byte[span * type.Size()];
            Read(start, source);
            Gather(source, dimensions, strides, type.Size(), destination);
        });
    }

    private void Read(long start, Span<byte> destination)
    {
        if (Inflated is { } inflated) inflated.Value.AsSpan((int)start, destination.Length).CopyTo(destination);
        else file.Read(Position + start, destination);
    }

    private static bool IsContiguous(int[] shape, IReadOnlyList<long> strides)
    {
        long expected = 1;
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            if (shape[i] != 1 && strides[i] != expected) return false;
            expected *= shape[i];
        }
        return true;
    }

    private static void Gather(byte[] source, int[] shape, IReadOnlyList<long> strides, int size, Span<byte> destination)
    {
        int[] index = new int[shape.Length];
        long element = 0;
        for (int to = 0; to < destination.Length; to += size)
        {
            source.AsSpan((int)(element * size), size).CopyTo(destination[to..]);
            // Counts like an odometer: the last dimension turns fastest.
            for (int d = shape.Length - 1; d >= 0; d--)
            {
                element += strides[d];
                if (++index[d] < shape[d]) break;
                element -= strides[d] * shape[d];
                index[d] = 0;
            }
        }
    }
}
