using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/linear.cu</c>, the gradient by the input.</summary>
internal sealed class LinearGradInputLaunch : OperatorLaunch<LinearGradInput>
{
    protected override void Prepare(Node node, LinearGradInput op, LaunchContext context)
    {
        Value dy = node.Input(LinearGradInput.Dy), w = node.Input(LinearGradInput.Weight);
        int rows = dy.Shape[0], outputs = w.Shape[0], inputs = w.Shape[1];
        int tileRows = LinearLaunch.TileRows(rows), across = 32 * LinearLaunch.Vector(inputs);
        context.Kernel("linear.cu", "linear_grad_input")
            .Define("VECTOR", LinearLaunch.Vector(inputs)).Define("TILE_ROWS", tileRows)
            .Read(dy).Read(w).Write(node.Output).Extent("ROWS", rows).Extent("IN", inputs).Extent("OUT", outputs)
            .Launch(new((inputs + across - 1) / across, (rows + tileRows - 1) / tileRows), 128);
    }
}

/// <summary>Launches of <c>kernels/linear.cu</c>, the gradient by the weights.</summary>
internal sealed class LinearGradWeightLaunch : OperatorLaunch<LinearGradWeight>
{
    protected override void Prepare(Node node, LinearGradWeight op, LaunchContext context)
    {
        Value dy = node.Input(LinearGradWeight.Dy), x = node.Input(LinearGradWeight.X);
        int rows = dy.Shape[0], outputs = dy.Shape[1], inputs = x.Shape[1];
        int vector = LinearLaunch.Vector(inputs), across = 128 * vector;
        context.Kernel("linear.cu", "linear_grad_weight")
            .Type("X_T", context.StorageOf(x)).Define("VECTOR", vector)
            .Read(dy).Read(x).Write(node.Output).Extent("ROWS", rows).Extent("IN", inputs).Extent("OUT", outputs)
            .Launch(new((inputs + across - 1) / across, (outputs + 7) / 8), 128);
    }
}
