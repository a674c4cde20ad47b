using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/sum_rows.cu</c>.</summary>
internal sealed class SumRowsLaunch : OperatorLaunch<SumRows>
{
    protected override void Prepare(Node node, SumRows op, LaunchContext context)
    {
        Storage x = context.StorageOf(node.Input(SumRows.X)), y = context.StorageOf(node.Output);
        Shape shape = node.Output.Shape;
        int count = Elementwise.Count(node.Output);
        context.Kernel("sum_rows.cu", "sum_rows_forward")
            .Type("X_T", x).Type("Y_T", y).Define("AFFINE", node.Inputs[SumRows.Affine] is not null).Define("ACTIVATION", (int)op.OnLoad)
            .Read(node.Input(SumRows.X)).Read(node.Inputs[SumRows.Affine]).Read(context.UploadStarts(op.Groups))
            .Read(context.UploadWeights(op.Groups))
            .Write(node.Output)
            .Extent("COUNT", count).Extent("SIZE", shape[1] * shape[2] * shape[3]).Extent("C", shape[3])
            .LaunchElementwise(count, Elementwise.Vector(shape[3], x, y));
    }
}

/// <summary>Launches of <c>kernels/sum_rows.cu</c>, backward.</summary>
internal sealed class SumRowsGradInputLaunch : OperatorLaunch<SumRowsGradInput>
{
    protected override void Prepare(Node node, SumRowsGradInput op, LaunchContext context)
    {
        Storage dy = context.StorageOf(node.Input(SumRowsGradInput.Dy)), dx = context.StorageOf(node.Output);
        Shape shape = node.Input(SumRowsGradInput.Dy).Shape;
        int count = Elementwise.Count(node.Input(SumRowsGradInput.Dy)), size = shape[1] * shape[2] * shape[3];
        context.Kernel("sum_rows.cu", "sum_rows_grad_input")
            .Type("DY_T", dy).Type("DX_T", dx)
            .Read(node.Input(SumRowsGradInput.Dy)).Read(context.UploadStarts(op.Groups)).Read(context.UploadWeights(op.Groups))
            .Write(node.Output)
            .Extent("COUNT", count).Extent("SIZE", size)
            .LaunchElementwise(count, Elementwise.Vector(size, dy, dx));
    }
}
