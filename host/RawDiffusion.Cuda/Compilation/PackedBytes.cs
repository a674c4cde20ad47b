namespace RawDiffusion.Cuda.Compilation;

/// <summary>Writes small numbers in few bytes.</summary>
internal sealed class PackedWriter
{
    private readonly List<byte> bytes = [];

    /// <summary>Writes the low 8 bits.</summary>
    public void Byte(int value) => bytes.Add((byte)value);

    /// <summary>Writes a number of 24 bits: one byte up to 223, two up to 8159, else four.</summary>
    public void Number(int value)
    {
        if (value < PackedReader.TwoBytes)
        {
            Byte(value);
        }
        else if (value < PackedReader.MostOfTwo)
        {
            Byte(PackedReader.TwoBytes + ((value - PackedReader.TwoBytes) >> 8));
            Byte(value - PackedReader.TwoBytes);
        }
        else
        {
            Byte(PackedReader.FourBytes);
            Byte(value >> 16);
            Byte(value >> 8);
            Byte(value);
        }
    }

    /// <summary>All that was written.</summary>
    public byte[] ToArray() => [.. bytes];
}

/// <summary>Reads what <see cref="PackedWriter"/> wrote.</summary>
/// <param name="bytes">All of it.</param>
internal sealed class PackedReader(byte[] bytes)
{
    internal const int TwoBytes = 224, FourBytes = 255, MostOfTwo = TwoBytes + ((FourBytes - TwoBytes) << 8);

    private int position;

    /// <summary>Whether all was read.</summary>
    public bool IsAtEnd => position == bytes.Length;

    /// <exception cref="InvalidDataException">There is no more.</exception>
    public int Byte() => position < bytes.Length ? bytes[position++] : throw new InvalidDataException("a stream ends early");

    /// <exception cref="InvalidDataException">There is no more.</exception>
    public int Number()
    {
        int first = Byte();
        if (first < TwoBytes) return first;
        if (first < FourBytes) return TwoBytes + ((first - TwoBytes) << 8) + Byte();
        return (Byte() << 16) | (Byte() << 8) | Byte();
    }
}
