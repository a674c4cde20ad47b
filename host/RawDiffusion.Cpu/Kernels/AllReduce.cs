using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>What a launch does that is one call of the communicator: one task.</summary>
internal abstract unsafe class RanksLaunch(string description, Value x, Value y, CpuContext context) : CpuLaunch
{
    protected int Count { get; } = checked((int)x.Shape.Count);

    protected float* X { get; } = context.Pointer(x);

    protected float* Y { get; } = context.Pointer(y);

    public sealed override string Description => description;

    public sealed override int Tasks(int phase) => 1;
}

/// <summary>Starts a sum over processes, in the output's memory.</summary>
internal sealed unsafe class AllReduceKernel : CpuKernel<AllReduce>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context)
        : RanksLaunch("all-reduce start", node.Input(AllReduce.X), node.Output, context)
    {
        private readonly ICommunicator ranks = context.Ranks(node, ((AllReduce)node.Operator).Ranks);

        public override void Run(int phase, int task, float* scratch)
        {
            if (X != Y) new Span<float>(X, Count).CopyTo(new Span<float>(Y, Count));
            ranks.StartAllReduce((nint)Y, Count);
        }
    }
}

/// <summary>Waits for a sum over processes.</summary>
internal sealed unsafe class AllReduceWaitKernel : CpuKernel<AllReduceWait>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context)
        : RanksLaunch("all-reduce wait", node.Input(AllReduceWait.Sum), node.Output, context)
    {
        private readonly ICommunicator ranks = context.Ranks(node, ((AllReduce)node.Input(AllReduceWait.Sum).Producer!.Operator).Ranks);

        public override void Run(int phase, int task, float* scratch)
        {
            ranks.Wait((nint)X);
            if (X != Y) new Span<float>(X, Count).CopyTo(new Span<float>(Y, Count));
        }
    }
}

/// <summary>Gathers from all processes.</summary>
internal sealed unsafe class AllGatherKernel : CpuKernel<AllGather>
{
    public override CpuLaunch Prepare<S, V>(Node node, CpuContext context) => new Launch(node, context);

    private sealed class Launch(Node node, CpuContext context)
        : RanksLaunch("all-gather", node.Input(AllGather.X), node.Output, context)
    {
        private readonly ICommunicator ranks = context.Ranks(node, ((AllGather)node.Operator).Ranks);

        public override void Run(int phase, int task, float* scratch) => ranks.AllGather((nint)X, (nint)Y, Count);
    }
}
