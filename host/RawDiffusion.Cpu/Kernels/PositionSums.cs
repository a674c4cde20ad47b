using System.Runtime.CompilerServices;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// Sums over positions, one or more for each channel of each segment (an image, or the whole batch). Phase 0 adds blocks of
/// positions in float32, few enough for its digits; phase 1 adds the blocks' sums in double.
/// </summary>
/// <param name="description">Kernel variant, for profiles.</param>
/// <param name="segments">Segments, whose sums are separate.</param>
/// <param name="positions">Positions of a segment.</param>
/// <param name="channels">Channels of a position.</param>
/// <param name="terms">Sums of each channel.</param>
/// <param name="context">Gives values their places in memory.</param>
internal abstract unsafe class PositionSumsLaunch<S, V>(
    string description, int segments, int positions, int channels, int terms, CpuContext context) : CpuLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private const int BlockPositions = 64;
    private const int PositionsPerTask = 8 * BlockPositions;

    private readonly int tasksPerSegment = (positions + PositionsPerTask - 1) / PositionsPerTask;
    private readonly float* partial = context.Allocate(
        (long)segments * ((positions + PositionsPerTask - 1) / PositionsPerTask) * terms * channels).Pointer;

    public override string Description => description;

    public override int Phases => 2;

    /// <summary>Channels of a position.</summary>
    protected int Channels => channels;

    public override int Tasks(int phase) => phase == 0 ? segments * tasksPerSegment : segments;

    public sealed override void Run(int phase, int task, float* scratch)
    {
        if (phase == 1)
        {
            Finish(task);
            return;
        }
        int segment = task / tasksPerSegment, first = task % tasksPerSegment * PositionsPerTask, end = Math.Min(
            positions, first + PositionsPerTask);
        float* sums = partial + (nint)task * terms * channels;
        new Span<float>(sums, terms * channels).Clear();
        for (; first < end; first += BlockPositions)
            AddBlock(segment, ((nint)segment * positions + first) * channels, Math.Min(BlockPositions, end - first), sums);
    }

    /// <summary>Adds positions of a segment, the first of whose elements is at <paramref name="at"/>, to sums [terms, C].</summary>
    protected abstract void AddBlock(int segment, nint at, int count, float* sums);

    /// <summary>Makes a segment's result of its sums.</summary>
    protected abstract void Finish(int segment);

    /// <summary>A sum over all positions of a segment; 0 where there are none.</summary>
    protected double Total(int segment, int term, int channel)
    {
        double total = 0;
        float* at = partial + ((nint)segment * tasksPerSegment * terms + term) * channels + channel;
        for (int t = 0; t < tasksPerSegment; t++, at += (nint)terms * channels) total += *at;
        return total;
    }

    /// <summary>sums += value, for as many channels as are left.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    protected static void Accumulate(float* sums, V value, int left) =>
        Part<S, V>.Store(S.Add(Part<S, V>.Load(sums, left), value), sums, left);
}
