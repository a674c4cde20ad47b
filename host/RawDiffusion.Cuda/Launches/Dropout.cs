using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/dropout.cu</c>.</summary>
internal sealed class DropoutLaunch : OperatorLaunch<Dropout>
{
    protected override void Prepare(Node node, Dropout op, LaunchContext context)
    {
        int count = Elementwise.Count(node.Output);
        // Not wider in 16 bits: a block of random words serves four elements.
        context.Kernel("dropout.cu", "dropout_forward")
            .Type("X_T", context.StorageOf(node.Input(Dropout.X))).Type("Y_T", context.StorageOf(node.Output))
            .Read(node.Input(Dropout.X)).Read(node.Input(Dropout.Step)).Write(node.Output)
            .Argument(op.Threshold).Argument(1 / (1 - op.Rate)).Argument(op.Seed).Argument(op.Stream)
            .Argument(op.First / 4).Extent("COUNT", count)
            .LaunchElementwise(count, Elementwise.Vector(count, Storage.F32));
    }
}
