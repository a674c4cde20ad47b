namespace RawDiffusion.Cuda.Emulator.Findings;

/// <summary>Collects findings of blocks that run in parallel, once per kind, kernel and line.</summary>
internal sealed class FindingList
{
    private readonly Lock gate = new();
    private readonly Dictionary<(FindingKind, string, SourceLocation), int> known = [];
    private readonly List<Finding> findings = [];

    public bool Any => findings.Count > 0;

    public void Add(Finding finding)
    {
        lock (gate)
        {
            (FindingKind Kind, string Kernel, SourceLocation Location) key = (finding.Kind, finding.Kernel, finding.Location);
            if (known.TryGetValue(key, out int index))
            {
                findings[index] = findings[index] with { Count = findings[index].Count + finding.Count };
            }
            else
            {
                known.Add(key, findings.Count);
                findings.Add(finding);
            }
        }
    }

    public void Clear()
    {
        lock (gate)
        {
            findings.Clear();
            known.Clear();
        }
    }

    public IReadOnlyList<Finding> ToList()
    {
        lock (gate) return [.. findings];
    }
}
