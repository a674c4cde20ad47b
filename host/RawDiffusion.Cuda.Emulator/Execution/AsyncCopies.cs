namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>
/// The cp.async operations of a warp that have not been waited for. Hardware may perform them at any time until then; the
/// emulator performs them as late as possible, so that a missing wait shows.
/// </summary>
internal sealed class AsyncCopies
{
    private readonly int[] committed = new int[Warp.Size];

    /// <summary>One thread's copy.</summary>
    public readonly record struct Copy(int Lane, int Group, ulong Source, int Destination, byte Bytes, byte SourceBytes, int Operation);

    public List<Copy> Pending { get; } = [];

    public void Clear()
    {
        Array.Clear(committed);
        Pending.Clear();
    }

    public int CurrentGroup(int lane) => committed[lane];

    public void Commit(uint lanes)
    {
        for (int lane = 0; lane < Warp.Size; lane++) committed[lane] += (int)(lanes >> lane) & 1;
    }

    /// <summary>Whether a copy is complete once at most <paramref name="allowed"/> of the newest groups may be pending.</summary>
    public bool Completes(in Copy copy, uint lanes, int allowed) =>
        ((lanes >> copy.Lane) & 1) != 0 && copy.Group < committed[copy.Lane] - allowed;
}
