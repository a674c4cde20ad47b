using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/repeat_rows.cu</c>.</summary>
internal sealed class RepeatRowsLaunch : OperatorLaunch<RepeatRows>
{
    protected override void Prepare(Node node, RepeatRows op, LaunchContext context)
    {
        Value input = node.Input(RepeatRows.X);
        Value? embedding = node.Inputs[RepeatRows.Embedding];
        Storage x = context.StorageOf(input), e = context.StorageOf(embedding ?? input), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(input), size = count / Math.Max(1, op.Groups.Count);
        // A vector [N] has no channels: each of its rows is one number.
        int channels = input.Shape.Rank > 1 ? input.Shape[^1] : 1;
        context.Kernel("repeat_rows.cu", "repeat_rows_forward")
            .Type("X_T", x).Type("E_T", e).Type("Y_T", y).Define("EMBEDDING", embedding is not null)
            .Read(input).Read(context.UploadStarts(op.Groups)).Read(embedding).Write(node.Output)
            .Extent("COUNT", count).Extent("SIZE", size).Extent("C", channels)
            .LaunchElementwise(count, Elementwise.Vector(channels, x, y));
    }
}
