using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// A launch that reads a weight in a layout of its own. A constant is brought into it when the launch is prepared; any
/// other weight in a first phase of every run, by the same tasks.
/// </summary>
internal abstract unsafe class WeightedLaunch : CpuLaunch
{
    private float* plain;
    private float* packed;
    private Workspace? workspace;

    public sealed override int Phases => workspace is null ? 1 : 2;

    /// <summary>The weight as <see cref="Pack"/> left it.</summary>
    protected float* Weights => workspace is null ? packed : workspace.Pointer;

    /// <summary>Tasks of packing, which write disjoint memory.</summary>
    protected abstract int PackTasks { get; }

    /// <summary>Tasks that compute the output; with none, nothing is packed either.</summary>
    protected abstract int ComputeTasks { get; }

    public sealed override int Tasks(int phase) => phase == Phases - 1 ? ComputeTasks : ComputeTasks == 0 ? 0 : PackTasks;

    public sealed override void Run(int phase, int task, float* scratch)
    {
        if (phase == Phases - 1) Compute(task, scratch);
        else Pack(task, plain, workspace!.Pointer);
    }

    /// <summary>Packs a constant, or arranges for any other weight to be packed in each run. Last in a constructor.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="floats">Floats of the packed weight.</param>
    /// <param name="context">Gives values their places in memory.</param>
    protected void BindWeight(Value weight, long floats, CpuContext context)
    {
        using NativeBuffer? constant = context.ReadConstant(weight);
        if (constant is null)
        {
            plain = context.Pointer(weight);
            workspace = context.Workspace;
            workspace.Reserve(floats);
            return;
        }
        packed = context.Allocate(floats).Pointer;
        (nint from, nint to) = ((nint)constant.Pointer, (nint)packed);
        Parallel.For(0, PackTasks, task => Pack(task, (float*)from, (float*)to));
    }

    /// <summary>Runs one task of packing.</summary>
    protected abstract void Pack(int task, float* weight, float* destination);

    /// <summary>Runs one task of the computation.</summary>
    protected abstract void Compute(int task, float* scratch);
}

/// <summary>
/// A weight [O, K, K, C] as the right-hand matrix of a product. Its rows are what is summed over, taps in a given order with
/// the channels of each; its columns are the channels that are computed.
/// </summary>
internal readonly unsafe struct WeightMatrix
{
    private readonly nint[] taps;
    private readonly nint columnStride;
    private readonly nint depthStride;

    private WeightMatrix(nint[] taps, int depth, nint depthStride, int columns, nint columnStride)
    {
        this.taps = taps;
        this.depthStride = depthStride;
        this.columnStride = columnStride;
        (Depth, Columns) = (depth, columns);
    }

    /// <summary>Channels that are summed over at each tap.</summary>
    public int Depth { get; }

    /// <summary>Channels that are computed.</summary>
    public int Columns { get; }

    /// <summary>Rows of the matrix.</summary>
    public int Rows => taps.Length * Depth;

    /// <summary>Sums over input channels, computes output channels: a convolution or linear layer [O, .., C].</summary>
    public static WeightMatrix Forward(Shape weight)
    {
        (int outputs, int inputs) = (weight[0], weight[^1]);
        int count = weight.Rank == 2 ? 1 : weight[1] * weight[2];
        return new([.. Enumerable.Range(0, count).Select(tap => (nint)tap * inputs)], inputs, 1, outputs, (nint)count * inputs);
    }

    /// <summary>Sums over output channels at the given taps, computes input channels: the gradient by the input.</summary>
    public static WeightMatrix Transposed(Shape weight, IEnumerable<int> taps)
    {
        (int outputs, int inputs) = (weight[0], weight[^1]);
        int count = weight.Rank == 2 ? 1 : weight[1] * weight[2];
        return new([.. taps.Select(tap => (nint)tap * inputs)], outputs, (nint)count * inputs, inputs, 1);
    }

    /// <summary>The element of a tap, a summed and a computed channel.</summary>
    public float* Element(float* weight, int tap, int depth, int column) =>
        weight + taps[tap] + depth * depthStride + column * columnStride;

    /// <summary>
    /// Packs the panel of <paramref name="width"/> columns from <paramref name="first"/>; see <see cref="PackedMatrix"/>.
    /// </summary>
    public void PackPanel(float* weight, int first, int width, float* destination)
    {
        for (int tap = 0; tap < taps.Length; tap++, destination += (nint)Depth * width)
        {
            PackedMatrix.Pack(Element(weight, tap, 0, first), depthStride, columnStride, Depth, Math.Min(width, Columns - first),
                width, destination);
        }
    }
}
