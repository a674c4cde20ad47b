namespace RawDiffusion.Formats;

/// <summary>Names for a message.</summary>
internal static class Listing
{
    /// <summary>The first names, quoted, and how many more there are.</summary>
    public static string Of(IReadOnlyCollection<string> names)
    {
        const int shown = 6;
        if (names.Count == 0) return "nothing";
        string list = string.Join(", ", names.Take(shown).Select(n => $"'{n}'"));
        return names.Count > shown ? $"{list} and {names.Count - shown} more" : list;
    }
}
