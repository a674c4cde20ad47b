using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// The gradient of a weight is a sum over positions. Tasks sum shares of these, whose number depends on shapes alone, each into
/// an array like the gradient; a last phase adds the shares in their order. A single share is the gradient itself.
/// </summary>
internal abstract unsafe class GradWeightLaunch<S, V> : CpuLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    // Enough for a machine of several cores; each share costs a gradient in memory.
    private const int LeastTasks = 16;
    private const int AddTaskFloats = 4096;

    private readonly float* gradient;
    private readonly long count;
    private readonly int parts;
    private readonly int shares;
    private readonly Workspace workspace;

    /// <summary>Arranges the shares.</summary>
    /// <param name="gradient">The result.</param>
    /// <param name="parts">Tasks that divide the result.</param>
    /// <param name="mostShares">Shares that the positions suffice for.</param>
    /// <param name="context">Gives values their places in memory.</param>
    protected GradWeightLaunch(Value gradient, int parts, int mostShares, CpuContext context)
    {
        this.gradient = context.Pointer(gradient);
        this.parts = parts;
        count = gradient.Shape.Count;
        shares = Math.Clamp((LeastTasks + parts - 1) / Math.Max(1, parts), 1, Math.Max(1, mostShares));
        workspace = context.Workspace;
        if (shares > 1) workspace.Reserve(shares * count);
    }

    public sealed override int Phases => shares == 1 ? 1 : 2;

    public sealed override int Tasks(int phase) => phase == 0 ? shares * parts : (int)((count + AddTaskFloats - 1) / AddTaskFloats);

    public sealed override void Run(int phase, int task, float* scratch)
    {
        if (phase == 1)
        {
            AddShares(task);
            return;
        }
        int share = task / parts;
        Accumulate(task % parts, share, shares, shares == 1 ? gradient : workspace.Pointer + share * count, scratch);
    }

    /// <summary>Computes one part of one share.</summary>
    /// <param name="part">Which part of the gradient.</param>
    /// <param name="share">Which share of the positions.</param>
    /// <param name="of">Number of shares.</param>
    /// <param name="sum">The share's array, like the gradient; all of the part is assigned.</param>
    /// <param name="scratch">Scratch memory.</param>
    protected abstract void Accumulate(int part, int share, int of, float* sum, float* scratch);

    private void AddShares(int task)
    {
        nint first = (nint)task * AddTaskFloats;
        int length = (int)Math.Min(AddTaskFloats, count - first);
        float* from = workspace.Pointer + first;
        new Span<float>(from, length).CopyTo(new Span<float>(gradient + first, length));
        for (int share = 1; share < shares; share++)
            Elementwise.Add<S, V>(gradient + first, from + share * count, gradient + first, length);
    }
}
