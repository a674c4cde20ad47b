using System.Text;

namespace RawDiffusion.Diffusion.Checkpoints;

/// <summary>Compares the tensors of a file with those of an architecture, before any of them is loaded.</summary>
public static class StateDictCheck
{
    // A line that a person reads: the first few of each kind and the count are enough to see what is wrong.
    private const int Listed = 3;
    private const int LongestName = 80;

    /// <summary>Requires that the file holds exactly the architecture's tensors, each with its shape.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="shapes">The file's tensors: name to shape.</param>
    /// <exception cref="CheckpointException">
    /// A tensor is missing, unexpected or mis-shaped; one line lists the first of each kind and how many there are.
    /// </exception>
    public static void Require(UNetConfig config, IReadOnlyDictionary<string, IReadOnlyList<int>> shapes)
    {
        IReadOnlyList<StateDictEntry> entries = StateDict.Of(config);
        var expected = entries.Select(entry => entry.Name).ToHashSet(StringComparer.Ordinal);

        string[] missing = [.. entries.Where(entry => !shapes.ContainsKey(entry.Name)).Select(entry => entry.Name)];
        string[] unexpected = [.. shapes.Keys.Where(name => !expected.Contains(name))];
        string[] misshaped = [.. entries
            .Where(entry => shapes.TryGetValue(entry.Name, out IReadOnlyList<int>? shape) && !shape.SequenceEqual(entry.Shape))
            .Select(entry => $"{entry.Name} is {Text(shapes[entry.Name])} instead of {Text(entry.Shape)}")];
        if (missing.Length + unexpected.Length + misshaped.Length == 0) return;

        string[] findings =
            [.. Finding("missing", missing), .. Finding("unexpected", unexpected), .. Finding("mis-shaped", misshaped)];
        throw new CheckpointException(
            $"the checkpoint does not match the architecture that its shapes suggest ({config.Channels} channels x " +
            $"({string.Join(",", config.ChannelMult)}), {config.NumResBlocks} residual blocks, {config.NumComponents} " +
            $"components, {entries.Count} tensors): {string.Join("; ", findings)}; nothing was loaded, use an undamaged " +
            "Decomp Diffusion checkpoint");
    }

    internal static string Text(IReadOnlyList<int> shape) => $"[{string.Join(", ", shape)}]";

    /// <summary>The first few names and how many more there are, on one line whatever the names hold.</summary>
    internal static string List(IReadOnlyCollection<string> names)
    {
        string first = string.Join(", ", names.Take(Listed).Select(OneLine));
        return names.Count > Listed ? $"{first} and {names.Count - Listed} more" : first;
    }

    private static IEnumerable<string> Finding(string kind, string[] names)
    {
        if (names.Length > 0) yield return $"{names.Length} {kind}: {List(names)}";
    }

    // Names come from a file that nobody vouches for.
    private static string OneLine(string name)
    {
        var text = new StringBuilder();
        foreach (char c in name.Length > 2 * LongestName ? name[..LongestName] + "..." : name)
            text.Append(char.IsControl(c) || c is '\u2028' or '\u2029' ? '?' : c);
        return text.ToString();
    }
}
