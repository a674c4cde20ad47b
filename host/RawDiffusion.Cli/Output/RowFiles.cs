namespace RawDiffusion.Cli.Output;

/// <summary>Names of the files of one row: the row itself, and its tiles where they are wanted one by one.</summary>
/// <param name="Row">The row's file name.</param>
/// <param name="Tiles">The tiles' file names, in the row's order; empty where they are not wanted.</param>
internal sealed record RowFiles(string Row, IReadOnlyList<string> Tiles)
{
    public IEnumerable<string> All => [Row, .. Tiles];

    /// <summary>Names for rows, none twice: where a stem's names are taken, a number is added to it.</summary>
    /// <param name="stems">What each row is named after.</param>
    /// <param name="tiles">Names of the tiles, or none.</param>
    public static IReadOnlyList<RowFiles> For(IEnumerable<string> stems, IReadOnlyList<string> tiles)
    {
        var taken = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        List<RowFiles> rows = [];
        foreach (string stem in stems)
        {
            RowFiles row = Named(stem, tiles);
            for (int n = 2; row.All.Any(taken.Contains); n++) row = Named($"{stem}-{n}", tiles);
            taken.UnionWith(row.All);
            rows.Add(row);
        }
        return rows;
    }

    private static RowFiles Named(string stem, IReadOnlyList<string> tiles) =>
        new($"{stem}.png", [.. tiles.Select(t => $"{stem}_{t}.png")]);
}
