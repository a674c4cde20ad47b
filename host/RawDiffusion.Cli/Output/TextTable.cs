namespace RawDiffusion.Cli.Output;

/// <summary>A table in plain text, as wide as its content: it can be piped and compared.</summary>
internal static class TextTable
{
    /// <summary>Writes a table.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="headers">Column headers; columns after the first <paramref name="leftAligned"/> are aligned to the right.</param>
    /// <param name="leftAligned">Number of columns of text.</param>
    /// <param name="rows">Cells.</param>
    /// <param name="textAtEnd">Whether the last column is text as well.</param>
    public static void Write(TextWriter to, string[] headers, int leftAligned, IReadOnlyList<string[]> rows, bool textAtEnd = false)
    {
        int[] widths = [.. headers.Select((header, i) => rows.Select(r => r[i].Length).Append(header.Length).Max())];
        foreach (string[] row in rows.Prepend(headers))
        {
            to.WriteLine(string.Join("  ", row.Select((cell, i) => i < leftAligned || (textAtEnd && i == row.Length - 1)
                ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))).TrimEnd());
        }
    }
}
