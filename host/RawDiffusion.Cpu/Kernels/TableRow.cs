using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>Copies the row of a table that the step counter names to each row of the output.</summary>
internal sealed unsafe class TableRowKernel : CpuKernel<TableRow>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly int rows = node.Input(TableRow.Table).Shape[0];
        private readonly int copies = node.Output.Shape[0];
        private readonly int count = (int)(node.Input(TableRow.Table).Shape.Count / node.Input(TableRow.Table).Shape[0]);
        private readonly float* table = context.Pointer(node.Input(TableRow.Table));
        private readonly int* step = (int*)context.Pointer(node.Input(TableRow.Step));
        private readonly float* y = context.Pointer(node.Output);

        public override string Description => "table row";

        public override int Tasks(int phase) => 1;

        public override void Run(int phase, int task, float* scratch)
        {
            var row = new Span<float>(table + (nint)Math.Clamp(*step, 0, rows - 1) * count, count);
            for (int i = 0; i < copies; i++) row.CopyTo(new Span<float>(y + (nint)i * count, count));
        }
    }
}

/// <summary>Advances the step counter.</summary>
internal sealed unsafe class NextStepKernel : CpuKernel<NextStep>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context) : CpuLaunch
    {
        private readonly int* step = (int*)context.Pointer(node.Input(NextStep.Step));
        private readonly int* next = (int*)context.Pointer(node.Output);

        public override string Description => "next step";

        public override int Tasks(int phase) => 1;

        public override void Run(int phase, int task, float* scratch) => *next = *step + 1;
    }
}
