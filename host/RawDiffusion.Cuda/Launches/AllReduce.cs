using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Starts a sum over processes, in the output's memory.</summary>
internal sealed class AllReduceLaunch : OperatorLaunch<AllReduce>
{
    protected override void Prepare(Node node, AllReduce op, LaunchContext context)
    {
        IDeviceRanks ranks = context.Ranks(node, op.Ranks);
        context.Move(node.Input(AllReduce.X), node.Output);
        DeviceRange sum = context.Memory(node.Output);
        context.Exchange("all_reduce_start", node.Output, (count, stream) => ranks.StartAllReduce(sum.Address, count, stream));
    }
}

/// <summary>Waits for a sum over processes.</summary>
internal sealed class AllReduceWaitLaunch : OperatorLaunch<AllReduceWait>
{
    protected override void Prepare(Node node, AllReduceWait op, LaunchContext context)
    {
        IDeviceRanks ranks = context.Ranks(node, ((AllReduce)node.Input(AllReduceWait.Sum).Producer!.Operator).Ranks);
        DeviceRange sum = context.Memory(node.Input(AllReduceWait.Sum));
        context.Exchange("all_reduce_wait", node.Output, (_, stream) => ranks.Wait(sum.Address, stream));
        context.Move(node.Input(AllReduceWait.Sum), node.Output);
    }
}

/// <summary>Gathers from all processes.</summary>
internal sealed class AllGatherLaunch : OperatorLaunch<AllGather>
{
    protected override void Prepare(Node node, AllGather op, LaunchContext context)
    {
        IDeviceRanks ranks = context.Ranks(node, op.Ranks);
        DeviceRange own = context.Memory(node.Input(AllGather.X)), all = context.Memory(node.Output);
        context.Exchange("all_gather", node.Input(AllGather.X),
            (count, stream) => ranks.AllGather(own.Address, all.Address, count, stream));
    }
}
