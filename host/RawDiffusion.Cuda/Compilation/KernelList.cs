namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// Kernel variants and the targets they are wanted for, as text: a line is targets, file, kernel and macros, as in
/// <c>sm_80,sm_90,compute_80 group_norm.cu group_norm_forward X_T=bf16 BLOCK=256</c>. Lines that start with # are remarks.
/// </summary>
public sealed class KernelList
{
    private readonly SortedDictionary<string, (KernelVariant Variant, SortedSet<string> Targets)> entries = new(StringComparer.Ordinal);

    /// <summary>An empty list.</summary>
    public KernelList() { }

    /// <summary>Reads lines; several lines of one variant count as one with all their targets.</summary>
    /// <exception cref="FormatException">A line is none; the message holds it.</exception>
    /// <exception cref="ArgumentException">A target is none.</exception>
    public KernelList(IEnumerable<string> lines)
    {
        foreach (string line in lines.Select(l => l.Trim()).Where(l => l.Length > 0 && l[0] != '#'))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length < 3 || words.Skip(3).Any(w => w.IndexOf('=') <= 0))
                throw new FormatException($"expected 'targets file kernel NAME=value ...', found '{line}'");
            (string Name, string Value)[] defines = [.. words.Skip(3).Select(w => (w[..w.IndexOf('=')], w[(w.IndexOf('=') + 1)..]))];
            foreach (string target in words[0].Split(',')) Add(new(words[1], words[2], defines), KernelTarget.Parse(target).ToString());
        }
    }

    /// <summary>Every variant with every target of it, sorted.</summary>
    public IEnumerable<(KernelVariant Variant, string Target)> Entries =>
        entries.Values.SelectMany(e => e.Targets.Select(t => (e.Variant, t)));

    /// <summary>The list's lines, sorted.</summary>
    public IEnumerable<string> Lines => entries.Select(e => $"{string.Join(",", e.Value.Targets)} {e.Key}");

    /// <summary>Adds a variant for a target; what is there already stays.</summary>
    /// <exception cref="ArgumentException">A name or value of the variant has white space in it.</exception>
    public void Add(KernelVariant variant, string target)
    {
        string text = TextOf(variant);
        if (!entries.TryGetValue(text, out (KernelVariant Variant, SortedSet<string> Targets) entry))
        {
            entries[text] = entry = (variant, new(StringComparer.Ordinal));
        }
        entry.Targets.Add(target);
    }

    /// <summary>The line of one variant and target.</summary>
    internal static string LineOf(KernelVariant variant, string target) => $"{target} {TextOf(variant)}";

    private static string TextOf(KernelVariant variant)
    {
        string[] words = [variant.File, variant.Kernel, .. variant.Defines.Select(d => $"{d.Name}={d.Value}")];
        if (words.Any(w => w.Any(char.IsWhiteSpace)))
            throw new ArgumentException($"{variant} has white space in a name or value, which a list of kernels cannot hold");
        return string.Join(" ", words);
    }
}
