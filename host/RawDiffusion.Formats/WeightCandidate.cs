namespace RawDiffusion.Formats;

/// <summary>One set of weights that a file has.</summary>
/// <param name="Path">Keys of the dicts that it is in, outermost first, and the prefix that tells it from others in one dict; empty at the
/// top.</param>
/// <param name="IsAverage">Whether these are averages of weights over time.</param>
/// <param name="Rank">Which of several to take: the lowest, if there is one of it alone.</param>
/// <param name="Tensors">Names and tensors, prefixes removed.</param>
/// <param name="Removed">The prefix that was removed.</param>
/// <param name="Step">How many steps the averages have seen, in words; empty where the file does not say.</param>
/// <param name="Metadata">Text that goes with them.</param>
internal sealed record WeightCandidate(
    string Path, bool IsAverage, int Rank, OrderedDictionary<string, Tensor> Tensors, string Removed, string Step,
    IReadOnlyDictionary<string, string> Metadata)
{
    /// <summary>For a message.</summary>
    public string Shown => Path.Length == 0 ? "the file's own dict" : $"'{Path}'";
}
