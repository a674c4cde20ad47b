using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/concat.cu</c>.</summary>
internal sealed class ConcatLaunch : OperatorLaunch<Concat>
{
    protected override void Prepare(Node node, Concat op, LaunchContext context)
    {
        Storage a = context.StorageOf(node.Input(Concat.A)), b = context.StorageOf(node.Input(Concat.B));
        Storage y = context.StorageOf(node.Output);
        int ca = node.Input(Concat.A).Shape[^1], cb = node.Input(Concat.B).Shape[^1], count = Elementwise.Count(node.Output);
        int vector = Math.Min(Elementwise.Vector(ca, a, b, y), Elementwise.Vector(cb, a, b, y));
        context.Kernel("concat.cu", "concat_forward")
            .Type("A_T", a).Type("B_T", b).Type("Y_T", y)
            .Read(node.Input(Concat.A)).Read(node.Input(Concat.B)).Write(node.Output)
            .Extent("COUNT", count).Extent("CA", ca).Extent("CB", cb)
            .LaunchElementwise(count, vector);
    }
}
