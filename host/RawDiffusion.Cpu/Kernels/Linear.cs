using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Linear layer.</summary>
internal sealed class LinearKernel : CpuKernel<Linear>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) =>
        new LinearLaunch<S, V>(node.Input(Linear.X), node.Input(Linear.Weight), WeightMatrix.Forward(node.Input(Linear.Weight).Shape),
            node.Inputs[Linear.Bias], ((Linear)node.Operator).OnStore, node.Output, context);
}

/// <summary>Gradient of a linear layer by its input: a product with the weight as it lies.</summary>
internal sealed class LinearGradInputKernel : CpuKernel<LinearGradInput>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) =>
        new LinearLaunch<S, V>(node.Input(LinearGradInput.Dy), node.Input(LinearGradInput.Weight),
            WeightMatrix.Transposed(node.Input(LinearGradInput.Weight).Shape, [0]), null, Activation.None, node.Output, context);
}

/// <summary>Product of rows with a weight: one task for each panel of outputs, all rows in it, so that each weight is read once.</summary>
internal sealed unsafe class LinearLaunch<S, V> : WeightedLaunch
    where S : struct, ISimd<V>
    where V : unmanaged
{
    private readonly float* x;
    private readonly float* bias;
    private readonly float* y;
    private readonly int rows;
    private readonly WeightMatrix matrix;
    private readonly delegate*<float*, float*, int, float*, float*, void> store;

    public LinearLaunch(Value x, Value weight, WeightMatrix matrix, Value? bias, Activation onStore, Value y, CpuContext context)
    {
        this.matrix = matrix;
        store = Activations.PixelLoop<S, V>(onStore);
        rows = y.Shape[0];
        this.x = context.Pointer(x);
        this.bias = context.PointerOrNull(bias);
        this.y = context.Pointer(y);
        BindWeight(weight, PackedMatrix.Count(matrix.Rows, matrix.Columns, MicroKernel<S, V>.Columns), context);
    }

    public override string Description => "linear";

    // The last tile may cover rows that do not exist; they are read from a copy.
    public override long ScratchBytes => 4L * MicroKernel<S, V>.MaxRows * (matrix.Rows + MicroKernel<S, V>.Columns + 16);

    protected override int PackTasks => PackedMatrix.Panels(matrix.Columns, MicroKernel<S, V>.Columns);

    protected override int ComputeTasks => rows == 0 ? 0 : PackTasks;

    protected override void Pack(int task, float* weight, float* destination)
    {
        int columns = MicroKernel<S, V>.Columns;
        matrix.PackPanel(weight, task * columns, columns, destination + (nint)task * matrix.Rows * columns);
    }

    protected override void Compute(int task, float* scratch)
    {
        int columns = MicroKernel<S, V>.Columns, inputs = matrix.Rows, outputs = matrix.Columns;
        int first = task * columns;
        int count = Math.Min(columns, outputs - first);
        float* b = Weights + (nint)task * inputs * columns;
        float* tile = scratch;
        float* padded = scratch + MicroKernel<S, V>.MaxRows * columns;
        for (int row = 0; row < rows;)
        {
            int tileRows = MicroKernel<S, V>.RowsFor(rows - row);
            int valid = Math.Min(tileRows, rows - row);
            float* a = x + (nint)row * inputs;
            if (valid < tileRows)
            {
                new Span<float>(a, valid * inputs).CopyTo(new Span<float>(padded, valid * inputs));
                new Span<float>(padded + valid * inputs, (tileRows - valid) * inputs).Clear();
                a = padded;
            }
            MicroKernel<S, V>.Run(tileRows, a, inputs, 1, 0, inputs, b, tile, columns);
            for (int i = 0; i < valid; i++)
            {
                float* sums = tile + i * columns;
                for (int c = 0; c < count; c++) sums[c] += bias == null ? 0 : bias[first + c];
                store(sums, y + (nint)(row + i) * outputs + first, count, null, null);
            }
            row += valid;
        }
    }
}
