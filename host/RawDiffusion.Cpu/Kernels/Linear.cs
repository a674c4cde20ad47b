using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Linear layer: one task for each panel of outputs, all rows in it, so that each weight is read once.</summary>
internal sealed class LinearKernel : CpuKernel<Linear>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch<S, V>(node, context);

    private sealed unsafe class Launch<S, V> : CpuLaunch
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        private readonly float* x;
        private readonly float* weights;
        private readonly float* bias;
        private readonly float* y;
        private readonly int rows;
        private readonly int inputs;
        private readonly int outputs;
        private readonly Activation onStore;

        public Launch(Node node, CpuContext context)
        {
            Value weight = node.Input(1);
            rows = node.Output.Shape[0];
            (outputs, inputs) = (weight.Shape[0], weight.Shape[1]);
            x = context.Pointer(node.Input(0));
            bias = context.PointerOrNull(node.Inputs[2]);
            y = context.Pointer(node.Output);
            onStore = ((Linear)node.Operator).OnStore;
            NativeBuffer packed = context.Allocate(PackedMatrix.Count(inputs, outputs, MicroKernel<S, V>.Columns));
            using NativeBuffer plain = context.ReadConstant(weight) ?? throw new GraphException($"{node.Name}: the weight {weight} must be a constant");
            PackedMatrix.Pack(plain.Pointer, 1, inputs, inputs, outputs, MicroKernel<S, V>.Columns, packed.Pointer);
            weights = packed.Pointer;
        }

        public override string Description => "linear";

        // The last tile may cover rows that do not exist; they are read from a copy.
        public override long ScratchBytes => 4L * MicroKernel<S, V>.MaxRows * (inputs + MicroKernel<S, V>.Columns + 16);

        public override int Tasks(int phase) => rows == 0 ? 0 : PackedMatrix.Panels(outputs, MicroKernel<S, V>.Columns);

        public override void Run(int phase, int task, float* scratch)
        {
            int columns = MicroKernel<S, V>.Columns;
            int first = task * columns;
            int count = Math.Min(columns, outputs - first);
            float* b = weights + (nint)task * inputs * columns;
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
                    Elementwise.Activate<S, V>(onStore, sums, y + (nint)(row + i) * outputs + first, count);
                }
                row += valid;
            }
        }
    }
}
