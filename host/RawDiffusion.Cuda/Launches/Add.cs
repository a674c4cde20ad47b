using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/add.cu</c>.</summary>
internal sealed class AddLaunch : OperatorLaunch<Add>
{
    protected override void Prepare(Node node, Add op, LaunchContext context)
    {
        Storage a = context.StorageOf(node.Input(Add.A)), b = context.StorageOf(node.Input(Add.B)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output);
        context.Kernel("add.cu", "add_forward")
            .Type("A_T", a).Type("B_T", b).Type("Y_T", y)
            .Read(node.Input(Add.A)).Read(node.Input(Add.B)).Write(node.Output).Extent("COUNT", count)
            .LaunchElementwise(count, Elementwise.Vector(count, a, b, y));
    }
}
