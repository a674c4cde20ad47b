using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/denoise_average_step.cu</c>.</summary>
internal sealed class DenoiseAverageStepLaunch : OperatorLaunch<DenoiseAverageStep>
{
    // Side of a block's tile of pixels, and the most outputs whose weights its shared memory holds.
    private const int Tile = 8;
    private const int MaxOutputs = 4;

    protected override void Prepare(Node node, DenoiseAverageStep op, LaunchContext context)
    {
        Value? affine = node.Inputs[DenoiseAverageStep.Affine], bias = node.Inputs[DenoiseAverageStep.Bias];
        Value? noise = node.Inputs[DenoiseAverageStep.Noise];
        Value activations = node.Input(DenoiseAverageStep.H), before = node.Input(DenoiseAverageStep.X);
        Value table = node.Input(DenoiseAverageStep.Table);
        Shape h = activations.Shape, x = node.Output.Shape;
        Storage storage = context.StorageOf(activations);
        int outputs = Math.Clamp(x[3], 1, MaxOutputs);
        int tiles = (h[1] + Tile - 1) / Tile * ((h[2] + Tile - 1) / Tile);
        context.Kernel("denoise_average_step.cu", "denoise_average_step_forward")
            .Type("H_T", storage).Type("X_T", context.StorageOf(before)).Type("N_T", context.StorageOf(noise ?? before))
            .Type("Y_T", context.StorageOf(node.Output)).Define("AFFINE", affine is not null).Define("ACTIVATION", (int)op.OnLoad)
            .Define("OUTPUTS", outputs)
            .Define("BIAS", bias is not null).Define("NOISE", noise is not null).Define("CLIP", op.Clip)
            .Define("VECTOR", Elementwise.Vector(h[3], storage))
            .Read(activations).Read(affine).Read(context.UploadStarts(op.Groups)).Read(context.UploadWeights(op.Groups))
            .Read(node.Input(DenoiseAverageStep.Weight)).Read(bias).Read(before).Read(noise)
            .Read(table).Read(node.Input(DenoiseAverageStep.Step)).Write(node.Output)
            .Extent("ROWS", table.Shape[0]).Extent("H", h[1]).Extent("W", h[2]).Extent("C", h[3]).Extent("O", x[3])
            .Launch(new(tiles, x[0], (x[3] + outputs - 1) / outputs), Elementwise.Block);
    }
}
