using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/concat.cu</c>.</summary>
internal sealed class ConcatLaunch : OperatorLaunch<Concat>
{
    protected override void Prepare(Node node, Concat op, LaunchContext context)
    {
        Storage a = context.StorageOf(node.Input(0)), b = context.StorageOf(node.Input(1)), y = context.StorageOf(node.Output);
        int ca = node.Input(0).Shape[^1], cb = node.Input(1).Shape[^1], count = Elementwise.Count(node.Output);
        int vector = Math.Min(Elementwise.Vector(ca, a, b, y), Elementwise.Vector(cb, a, b, y));
        context.Kernel("concat.cu", "concat_forward")
            .Type("A_T", a).Type("B_T", b).Type("Y_T", y)
            .Read(node.Input(0)).Read(node.Input(1)).Write(node.Output)
            .Extent("COUNT", count).Extent("CA", ca).Extent("CB", cb)
            .LaunchElementwise(count, vector);
    }
}
