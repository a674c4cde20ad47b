using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace RawDiffusion.Formats;

/// <summary>
/// An array as a file holds it: element type, shape, and a way to read its bytes. A tensor of an open
/// <see cref="TensorFile"/> reads from the file on demand, so that a large checkpoint is never in memory twice.
/// </summary>
public sealed class Tensor
{
    /// <summary>Fills the span with all elements: contiguous, row-major, little-endian.</summary>
    public delegate void Reader(Span<byte> destination);

    private readonly Reader? read; // where there is no file
    private readonly FileContent? file;
    private readonly long position;

    /// <summary>Makes a tensor over a reader.</summary>
    /// <param name="type">Element type.</param>
    /// <param name="shape">Dimensions, outermost first; empty for a scalar.</param>
    /// <param name="read">Fills exactly <see cref="ByteCount"/> bytes.</param>
    /// <exception cref="ArgumentException">A dimension is negative, or the byte count passes 2 GiB.</exception>
    public Tensor(TensorType type, IReadOnlyList<int> shape, Reader read)
    {
        long count = 1;
        foreach (int d in shape)
        {
            if (d < 0) throw new ArgumentException($"a tensor's dimensions cannot be negative: [{string.Join(", ", shape)}]");
            count *= d;
            if (count > Array.MaxLength / type.Size())
                throw new ArgumentException($"a tensor of shape [{string.Join(", ", shape)}] is larger than 2 GiB");
        }
        Type = type;
        Shape = [.. shape];
        Count = (int)count;
        this.read = read;
    }

    /// <summary>Makes a contiguous tensor of a file, whose shape has been checked, with less memory than a reader takes.</summary>
    internal Tensor(TensorType type, int[] shape, FileContent file, long position)
    {
        (Type, Shape, Count, this.file, this.position) = (type, shape, (int)TensorShape.Count(shape), file, position);
    }

    /// <summary>Element type.</summary>
    public TensorType Type { get; }

    /// <summary>Dimensions, outermost first; empty for a scalar.</summary>
    public IReadOnlyList<int> Shape { get; }

    /// <summary>Number of elements; 1 for a scalar.</summary>
    public int Count { get; }

    /// <summary>Number of bytes of all elements.</summary>
    public int ByteCount => Count * Type.Size();

    /// <summary>A float32 tensor over an array in memory.</summary>
    /// <exception cref="ArgumentException">The array's length is not the shape's product.</exception>
    public static Tensor FromSingles(IReadOnlyList<int> shape, float[] values)
    {
        var tensor = new Tensor(TensorType.Float32, shape, bytes => MemoryMarshal.AsBytes<float>(values).CopyTo(bytes));
        RequireLength(tensor.Count, values.Length, shape);
        return tensor;
    }

    /// <summary>An int64 tensor over an array in memory.</summary>
    /// <exception cref="ArgumentException">The array's length is not the shape's product.</exception>
    public static Tensor FromInt64s(IReadOnlyList<int> shape, long[] values)
    {
        var tensor = new Tensor(TensorType.Int64, shape, bytes => MemoryMarshal.AsBytes<long>(values).CopyTo(bytes));
        RequireLength(tensor.Count, values.Length, shape);
        return tensor;
    }

    /// <summary>A tensor of any type over little-endian bytes in memory.</summary>
    /// <exception cref="ArgumentException">The array's length is not the shape's product times the element size.</exception>
    public static Tensor FromBytes(TensorType type, IReadOnlyList<int> shape, byte[] values)
    {
        var tensor = new Tensor(type, shape, bytes => values.CopyTo(bytes));
        if (tensor.ByteCount != values.Length)
        {
            throw new ArgumentException(
                $"shape [{string.Join(", ", shape)}] of {type} takes {tensor.ByteCount} bytes, the array has {values.Length}");
        }

        return tensor;
    }

    /// <summary>All elements as raw little-endian bytes.</summary>
    public byte[] ToBytes()
    {
        byte[] bytes = new byte[ByteCount];
        ReadBytes(bytes);
        return bytes;
    }

    /// <summary>Copies all elements, converted to float32 (round to nearest even), into <paramref name="destination"/>.</summary>
    /// <exception cref="ArgumentException">The destination's length is not <see cref="Count"/>.</exception>
    public void CopyTo(Span<float> destination)
    {
        if (destination.Length != Count)
            throw new ArgumentException($"the tensor has {Count} elements, the destination {destination.Length}");
        if (Type == TensorType.Float32)
        {
            ReadBytes(MemoryMarshal.AsBytes(destination));
            return;
        }
        byte[] bytes = ToBytes();
        switch (Type)
        {
            case TensorType.Float16:
                ReadOnlySpan<Half> halves = MemoryMarshal.Cast<byte, Half>(bytes);
                for (int i = 0; i < destination.Length; i++) destination[i] = (float)halves[i];
                break;
            case TensorType.BFloat16:
                ReadOnlySpan<ushort> upper = MemoryMarshal.Cast<byte, ushort>(bytes);
                for (int i = 0; i < destination.Length; i++) destination[i] = BitConverter.UInt32BitsToSingle((uint)upper[i] << 16);
                break;
            case TensorType.Float64:
                ReadOnlySpan<double> doubles = MemoryMarshal.Cast<byte, double>(bytes);
                for (int i = 0; i < destination.Length; i++) destination[i] = (float)doubles[i];
                break;
            default:
                for (int i = 0; i < destination.Length; i++) destination[i] = ToInt64(bytes, i);
                break;
        }
    }

    /// <summary>All elements converted to float32.</summary>
    public float[] ToSingles()
    {
        float[] values = new float[Count];
        CopyTo(values);
        return values;
    }

    /// <summary>All elements converted to float64; exact for every type but large 64-bit integers.</summary>
    public double[] ToDoubles()
    {
        byte[] bytes = ToBytes();
        double[] values = new double[Count];
        for (int i = 0; i < values.Length; i++) values[i] = ToDouble(bytes, i);
        return values;
    }

    /// <summary>All elements of an integer or boolean tensor.</summary>
    /// <exception cref="InvalidOperationException">The tensor holds floating-point numbers.</exception>
    public long[] ToInt64s()
    {
        if (Type is TensorType.Float16 or TensorType.BFloat16 or TensorType.Float32 or TensorType.Float64)
            throw new InvalidOperationException($"a {Type} tensor holds no integers");
        byte[] bytes = ToBytes();
        long[] values = new long[Count];
        for (int i = 0; i < values.Length; i++) values[i] = ToInt64(bytes, i);
        return values;
    }

    /// <summary>
    /// The same numbers in float16, rounded to nearest even, beyond 65504 infinite; a tensor of integers stays what it is.
    /// </summary>
    public Tensor ToHalf()
    {
        if (Type is not (TensorType.Float32 or TensorType.Float64 or TensorType.BFloat16)) return this;
        return new Tensor(TensorType.Float16, Shape, bytes =>
        {
            Span<Half> halves = MemoryMarshal.Cast<byte, Half>(bytes);
            double[] values = ToDoubles();
            for (int i = 0; i < values.Length; i++) halves[i] = (Half)values[i];
        });
    }

    /// <summary>Fills the span, of <see cref="ByteCount"/> bytes, with all elements.</summary>
    internal void ReadBytes(Span<byte> destination)
    {
        if (file is null) read!(destination);
        else file.Read(position, destination);
    }

    private static void RequireLength(int expected, int found, IReadOnlyList<int> shape)
    {
        if (expected != found)
            throw new ArgumentException($"shape [{string.Join(", ", shape)}] has {expected} elements, the array {found}");
    }

    private double ToDouble(ReadOnlySpan<byte> bytes, int i) => Type switch
    {
        TensorType.Float16 => (double)BinaryPrimitives.ReadHalfLittleEndian(bytes[(2 * i)..]),
        TensorType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)BinaryPrimitives.ReadUInt16LittleEndian(bytes[(2 * i)..]) << 16),
        TensorType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(bytes[(4 * i)..]),
        TensorType.Float64 => BinaryPrimitives.ReadDoubleLittleEndian(bytes[(8 * i)..]),
        _ => ToInt64(bytes, i),
    };

    private long ToInt64(ReadOnlySpan<byte> bytes, int i) => Type switch
    {
        // A boolean byte of a foreign file may be neither 0 nor 1; it is true then, as in C.
        TensorType.Bool => bytes[i] == 0 ? 0 : 1,
        TensorType.UInt8 => bytes[i],
        TensorType.Int8 => (sbyte)bytes[i],
        TensorType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(bytes[(2 * i)..]),
        TensorType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(bytes[(4 * i)..]),
        TensorType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(bytes[(8 * i)..]),
        _ => throw new InvalidOperationException($"a {Type} tensor holds no integers"),
    };
}
