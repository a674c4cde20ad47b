using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// Splits PTX into streams of bytes in which variants of a kernel are nearly alike, so that a compressor stores once what they share.
/// What cannot be given back byte for byte, as machine code, is kept as it is.
/// </summary>
/// <remarks>
/// A line is its text without numbers, of which there are few thousand, and its numbers (<see cref="RegisterNumbers"/> has those of
/// registers).
/// </remarks>
internal sealed partial class PtxPacker
{
    /// <summary>How many streams there are.</summary>
    public static readonly int Streams = Enum.GetValues<PackedStream>().Length;

    private const char Number = '\x01', Register = '\x02';

    // Two bytes tell a line.
    private const int MostLines = 1 << 16;

    private readonly Dictionary<string, int> numberOfLine = new(StringComparer.Ordinal);
    private readonly List<string> lines = [];

    /// <summary>All lines of the kernels so far, without their numbers.</summary>
    public IReadOnlyList<string> Lines => lines;

    /// <summary>Splits a kernel.</summary>
    /// <returns>Each of the <see cref="Streams"/>.</returns>
    public byte[][] Pack(byte[] image)
    {
        if (Split(Encoding.Latin1.GetString(image)) is { } streams && Unpack(lines, streams).AsSpan().SequenceEqual(image)) return streams;
        byte[][] kept = [.. Enumerable.Repeat<byte[]>([], Streams)];
        kept[(int)PackedStream.Kept] = image;
        return kept;
    }

    /// <summary>Puts a kernel together again.</summary>
    /// <param name="lines">The packer's <see cref="Lines"/>.</param>
    /// <param name="streams">The kernel's part of each stream.</param>
    /// <exception cref="InvalidDataException">These are no streams of a kernel of these lines.</exception>
    public static byte[] Unpack(IReadOnlyList<string> lines, IReadOnlyList<byte[]> streams)
    {
        if (streams[(int)PackedStream.Kept] is { Length: > 0 } kept) return kept;
        PackedReader[] readers = [.. streams.Select(s => new PackedReader(s))];
        PackedReader which = readers[(int)PackedStream.Lines];
        Dictionary<string, RegisterNumbers> registers = new(StringComparer.Ordinal);
        Dictionary<int, (PackedReader Numbers, Piece[] Pieces)> known = [];
        var text = new StringBuilder();
        while (true)
        {
            int id = (which.Byte() << 8) | which.Byte();
            if (id >= lines.Count) throw new InvalidDataException($"line {id} of {lines.Count}");
            if (!known.TryGetValue(id, out (PackedReader Numbers, Piece[] Pieces) line))
                known[id] = line = (readers[(int)NumbersOf(lines[id])], [.. Pieces(lines[id], registers)]);
            foreach (Piece piece in line.Pieces)
            {
                text.Append(piece.Text);
                if (piece.HasNumber) text.Append(piece.Registers is { } kind ? kind.Read(readers) : line.Numbers.Number());
            }
            if (which.IsAtEnd) return Encoding.Latin1.GetBytes(text.ToString());
            text.Append('\n');
        }
    }

    // A line's text up to each number, and after the last.
    private static IEnumerable<Piece> Pieces(string line, Dictionary<string, RegisterNumbers> registers)
    {
        int start = 0;
        for (int end; (end = line.AsSpan(start).IndexOfAny(Number, Register)) >= 0; start += end + 1)
        {
            string text = line.Substring(start, end);
            yield return new(text, true, line[start + end] == Register
                ? Of(registers, text[Math.Max(0, text.LastIndexOfAny(['%', '$']))..]) : null);
        }
        yield return new(line[start..], false, null);
    }

    private byte[][]? Split(string text)
    {
        if (text.AsSpan().ContainsAny(Number, Register)) return null;
        PackedWriter[] writers = [.. Enumerable.Range(0, Streams).Select(_ => new PackedWriter())];
        Dictionary<string, RegisterNumbers> registers = new(StringComparer.Ordinal);
        foreach (string line in text.Split('\n'))
        {
            PackedWriter numbers = writers[(int)NumbersOf(line)];
            string shape = Numbers().Replace(line, match =>
            {
                string kind = match.Groups["kind"].Value;
                int number = int.Parse(match.Groups["number"].ValueSpan, CultureInfo.InvariantCulture);
                if (kind.Length > 0) Of(registers, kind).Write(number, writers);
                else numbers.Number(number);
                return kind + (kind.Length > 0 ? Register : Number);
            });
            if (!numberOfLine.TryGetValue(shape, out int id))
            {
                if (lines.Count == MostLines) return null;
                numberOfLine[shape] = id = lines.Count;
                lines.Add(shape);
            }
            writers[(int)PackedStream.Lines].Byte(id >> 8);
            writers[(int)PackedStream.Lines].Byte(id);
        }
        return [.. writers.Select(w => w.ToArray())];
    }

    private static RegisterNumbers Of(Dictionary<string, RegisterNumbers> registers, string kind)
    {
        if (!registers.TryGetValue(kind, out RegisterNumbers? numbers)) registers[kind] = numbers = new();
        return numbers;
    }

    private static PackedStream NumbersOf(string line) => line.StartsWith("\t.loc", StringComparison.Ordinal) ? PackedStream.Locations
        : line.StartsWith(".b8 ", StringComparison.Ordinal) ? PackedStream.Texts : PackedStream.Numbers;

    private readonly record struct Piece(string Text, bool HasNumber, RegisterNumbers? Registers);

    // A register or a label is a kind and a number: %rd and 12, $L__BB0_ and 3. Digits in other names and in floats are no numbers.
    [GeneratedRegex("""(?<![\w$.%])(?<kind>[%$][A-Za-z_]\w*?)?(?<number>0|[1-9][0-9]{0,6})(?![\w.$])""", RegexOptions.CultureInvariant)]
    private static partial Regex Numbers();
}

/// <summary>What a kernel is split into.</summary>
internal enum PackedStream
{
    /// <summary>Which line, two bytes each.</summary>
    Lines,

    /// <summary>Which register: <see cref="RegisterNumbers"/>.</summary>
    Registers,

    /// <summary>Where the number of a new register is.</summary>
    Steps,

    /// <summary>Numbers of lines that tell the place in the source.</summary>
    Locations,

    /// <summary>Numbers of lines that are text, character by character.</summary>
    Texts,

    /// <summary>All other numbers.</summary>
    Numbers,

    /// <summary>Kernels that were not split.</summary>
    Kept,
}
