using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/pack.cu</c>: one for all inputs that were not computed in their places; often none.</summary>
internal sealed class PackLaunch : OperatorLaunch<Pack>
{
    protected override void Prepare(Node node, Pack op, LaunchContext context)
    {
        DeviceRange all = context.Memory(node.Output);
        var moves = new List<(DeviceRange Source, DeviceRange Destination)>();
        foreach ((Parameter parameter, Value? value) in op.Layout.Parameters.Zip(node.Inputs))
        {
            DeviceRange source = context.Memory(value!), destination = all.Slice(4 * parameter.Offset, source.Bytes);
            if (source != destination) moves.Add((source, destination));
        }
        context.Copy(Storage.F32, moves);
    }
}
