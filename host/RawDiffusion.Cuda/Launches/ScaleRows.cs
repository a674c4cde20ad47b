using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/scale_rows.cu</c>.</summary>
internal sealed class ScaleRowsLaunch : OperatorLaunch<ScaleRows>
{
    protected override void Prepare(Node node, ScaleRows op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(ScaleRows.X)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output);
        if (count == 0) return;
        int size = count / node.Output.Shape[0];
        context.Kernel("scale_rows.cu", "scale_rows_forward")
            .Type("X_T", x).Type("Y_T", y)
            .Read(node.Input(ScaleRows.X)).Read(node.Input(ScaleRows.Scale)).Write(node.Output).Extent("COUNT", count).Extent("SIZE", size)
            .LaunchElementwise(count, Elementwise.Vector(size, x, y));
    }
}
