namespace RawDiffusion.Formats.Images;

/// <summary>The five row filters of PNG: 0 none, 1 left, 2 above, 3 their average, 4 Paeth.</summary>
internal static class PngFilter
{
    public const int Count = 5;

    /// <summary>Turns a filtered row into the row itself, in place.</summary>
    public static void Undo(int filter, Span<byte> row, ReadOnlySpan<byte> above, int pixelBytes)
    {
        if (filter == 0) return;
        for (int i = 0; i < row.Length; i++)
            row[i] += Predict(filter, i < pixelBytes ? (byte)0 : row[i - pixelBytes], above[i], i < pixelBytes ? (byte)0 : above[i - pixelBytes]);
    }

    /// <summary>Writes the filtered form of a row.</summary>
    public static void Apply(int filter, ReadOnlySpan<byte> row, ReadOnlySpan<byte> above, int pixelBytes, Span<byte> filtered)
    {
        for (int i = 0; i < row.Length; i++)
            filtered[i] = (byte)(row[i] - Predict(filter, i < pixelBytes ? (byte)0 : row[i - pixelBytes], above[i], i < pixelBytes ? (byte)0 : above[i - pixelBytes]));
    }

    private static byte Predict(int filter, byte left, byte above, byte aboveLeft) => filter switch
    {
        1 => left,
        2 => above,
        3 => (byte)((left + above) / 2),
        4 => Paeth(left, above, aboveLeft),
        _ => 0,
    };

    private static byte Paeth(byte left, byte above, byte aboveLeft)
    {
        int estimate = left + above - aboveLeft;
        int toLeft = Math.Abs(estimate - left), toAbove = Math.Abs(estimate - above), toAboveLeft = Math.Abs(estimate - aboveLeft);
        return toLeft <= toAbove && toLeft <= toAboveLeft ? left : toAbove <= toAboveLeft ? above : aboveLeft;
    }
}
