using System.Buffers.Binary;
using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>Reads a pickle's bytes in order, through a small buffer, and never past an end given beforehand.</summary>
internal sealed class PickleReader
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly byte[] buffer;
    private readonly long end;
    private long bufferStart;
    private int buffered;

    /// <summary>Reads a part of a file.</summary>
    public PickleReader(FileContent file, long start, long end)
    {
        (File, Position, bufferStart, this.end) = (file, start, start, end);
        buffer = new byte[Math.Min(1 << 16, end - start)];
    }

    /// <summary>Reads bytes that are in memory; the file is for messages.</summary>
    public PickleReader(FileContent file, byte[] pickle)
    {
        (File, buffer, buffered, end) = (file, pickle, pickle.Length, pickle.Length);
    }

    public FileContent File { get; }

    /// <summary>Where the next byte comes from.</summary>
    public long Position { get; private set; }

    public byte Byte()
    {
        Require(1);
        if (Position < bufferStart || Position >= bufferStart + buffered)
        {
            bufferStart = Position;
            buffered = (int)Math.Min(buffer.Length, end - Position);
            File.Read(bufferStart, buffer.AsSpan(0, buffered));
        }
        return buffer[(int)(Position++ - bufferStart)];
    }

    public byte[] Bytes(long count)
    {
        Require(count);
        byte[] bytes = new byte[count];
        if (count <= 16)
        {
            for (int i = 0; i < bytes.Length; i++) bytes[i] = Byte();
            return bytes;
        }
        if (Position >= bufferStart && count <= bufferStart + buffered - Position)
            buffer.AsSpan((int)(Position - bufferStart), (int)count).CopyTo(bytes);
        else File.Read(Position, bytes);
        Position += count;
        return bytes;
    }

    /// <summary>Passes over bytes.</summary>
    public void Skip(long count)
    {
        Require(count);
        Position += count;
    }

    public ushort UInt16() => (ushort)(Byte() | Byte() << 8);

    public int Int32() => UInt16() | UInt16() << 16;

    /// <summary>A four-byte length.</summary>
    public long Length32() => (uint)Int32();

    /// <summary>An eight-byte length.</summary>
    public long Length64()
    {
        long low = Length32();
        return low | Length32() << 32;
    }

    public double DoubleBigEndian() => BinaryPrimitives.ReadDoubleBigEndian(Bytes(8));

    public string Utf8(long count)
    {
        try
        {
            return StrictUtf8.GetString(Bytes(count));
        }
        catch (DecoderFallbackException e)
        {
            throw Error("a string is not UTF-8", e);
        }
    }

    /// <summary>The text up to the next line end, which is read too.</summary>
    public string Line()
    {
        const int longest = 1024;
        var line = new StringBuilder();
        for (byte b = Byte(); b != '\n'; b = Byte())
        {
            if (line.Length == longest) throw Error($"a line is longer than {longest} characters");
            line.Append((char)b);
        }
        return line.ToString();
    }

    public FileFormatException Error(string message, Exception? inner = null) =>
        File.Error($"the pickle is not one that torch.save writes: {message} (byte {Position}); the file is damaged or foreign", inner);

    private void Require(long count)
    {
        if (count < 0 || count > end - Position || count > Array.MaxLength)
            throw Error($"{count} more bytes are needed, {end - Position} are left");
    }
}
