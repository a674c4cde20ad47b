using System.Text;
using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Diffusion.Checkpoints;

/// <summary>Compares the tensors of a file with those of a network, before any of them is loaded.</summary>
public static class TensorCheck
{
    // A line that a person reads: the first few of each kind and the count are enough to see what is wrong.
    private const int Listed = 3;
    private const int LongestName = 80;

    /// <summary>Requires that a file holds exactly a network's tensors, each with its shape.</summary>
    /// <param name="tensors">What the network declares.</param>
    /// <param name="shapes">The file's tensors: name to shape.</param>
    /// <param name="network">What the tensors are of, in the error.</param>
    /// <param name="family">Whose checkpoint to use, in the error.</param>
    /// <exception cref="CheckpointException">
    /// A tensor is missing, unexpected or mis-shaped; one line lists the first of each kind and how many there are.
    /// </exception>
    public static void Require(IReadOnlyList<NetworkTensor> tensors, IReadOnlyDictionary<string, IReadOnlyList<int>> shapes,
        string network, string family)
    {
        var expected = tensors.Select(t => t.Name).ToHashSet(StringComparer.Ordinal);

        string[] missing = [.. tensors.Where(t => !shapes.ContainsKey(t.Name)).Select(t => t.Name)];
        string[] unexpected = [.. shapes.Keys.Where(name => !expected.Contains(name))];
        string[] misshaped = [.. tensors
            .Where(t => shapes.TryGetValue(t.Name, out IReadOnlyList<int>? shape) && !shape.SequenceEqual(t.Shape))
            .Select(t => $"{t.Name} is {Text(shapes[t.Name])} instead of {Text(t.Shape)}")];
        if (missing.Length + unexpected.Length + misshaped.Length == 0) return;

        string[] findings =
            [.. Finding("missing", missing), .. Finding("unexpected", unexpected), .. Finding("mis-shaped", misshaped)];
        throw new CheckpointException(
            $"the checkpoint does not match {network}: {string.Join("; ", findings)}; nothing was loaded, use an undamaged {family} "
            + "checkpoint");
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
