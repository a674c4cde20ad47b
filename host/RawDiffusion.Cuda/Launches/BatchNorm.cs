using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/batch_norm.cu</c>.</summary>
internal sealed class BatchNormLaunch : OperatorLaunch<BatchNorm>
{
    protected override void Prepare(Node node, BatchNorm op, LaunchContext context) =>
        Add(node, context, context.Memory(node.Input(BatchNorm.Mean)), context.Memory(node.Input(BatchNorm.Variance)), op.Epsilon);

    /// <summary>Adds the launch that normalises a node's x with the given statistics, each [C].</summary>
    public static void Add(Node node, LaunchContext context, DeviceRange mean, DeviceRange variance, float epsilon)
    {
        Storage x = context.StorageOf(node.Input(BatchNorm.X)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), channels = node.Output.Shape[3];
        context.Kernel("batch_norm.cu", "batch_norm_forward")
            .Type("X_T", x).Type("Y_T", y)
            .Read(node.Input(BatchNorm.X)).Read(node.Input(BatchNorm.Gamma)).Read(node.Input(BatchNorm.Beta)).Read(mean).Read(variance)
            .Write(node.Output)
            .Argument(epsilon).Extent("COUNT", count).Extent("C", channels)
            .LaunchElementwise(count, Elementwise.Vector(channels, x, y));
    }
}
