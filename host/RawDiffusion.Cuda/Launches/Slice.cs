using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/slice.cu</c>.</summary>
internal sealed class SliceLaunch : OperatorLaunch<Slice>
{
    protected override void Prepare(Node node, Slice op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(Slice.X)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), channels = node.Input(Slice.X).Shape[^1];
        int vector = Math.Min(Elementwise.Vector(channels, x, y),
            Math.Min(Elementwise.Vector(op.Start, x, y), Elementwise.Vector(op.Count, x, y)));
        context.Kernel("slice.cu", "slice_forward")
            .Type("X_T", x).Type("Y_T", y)
            .Read(node.Input(Slice.X)).Write(node.Output)
            .Extent("COUNT", count).Extent("C", channels).Extent("START", op.Start).Extent("SIZE", op.Count)
            .LaunchElementwise(count, vector);
    }
}
