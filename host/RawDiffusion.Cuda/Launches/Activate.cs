using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/activate.cu</c>.</summary>
internal sealed class ActivateLaunch : OperatorLaunch<Activate>
{
    private const int Block = 256;

    protected override void Prepare(Node node, Activate op, LaunchContext context)
    {
        int count = checked((int)node.Output.Shape.Count);
        int vector = count % 4 == 0 ? 4 : 1;
        context.Kernel("activate.cu", "activate_forward")
            .Type("X_T", context.StorageOf(node.Input(0))).Type("Y_T", context.StorageOf(node.Output))
            .Define("ACTIVATION", (int)op.Activation).Define("VECTOR", vector)
            .Read(node.Input(0)).Write(node.Output).Extent("COUNT", count)
            .Launch((count + Block * vector - 1) / (Block * vector), Block);
    }
}
