using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/mse_loss.cu</c>.</summary>
internal sealed class MseLossLaunch : OperatorLaunch<MseLoss>
{
    // Two blocks for each multiprocessor of a large GPU. Not the device's own number: the sum's bits would depend on it.
    private const int MaxBlocks = 256;

    protected override void Prepare(Node node, MseLoss op, LaunchContext context)
    {
        Storage prediction = context.StorageOf(node.Input(MseLoss.Prediction)), target = context.StorageOf(node.Input(MseLoss.Target));
        int count = Elementwise.Count(node.Input(MseLoss.Prediction)), size = count / node.Input(MseLoss.Prediction).Shape[0];
        int vector = Elementwise.Vector(size, prediction, target);
        int blocks = Math.Min(MaxBlocks, (count + Elementwise.Block * vector - 1) / (Elementwise.Block * vector));
        context.Kernel("mse_loss.cu", "mse_loss_forward")
            .Type("P_T", prediction).Type("T_T", target).Define("WEIGHTS", node.Inputs[MseLoss.Weights] is not null)
            .Define("VECTOR", vector)
            .Read(node.Input(MseLoss.Prediction)).Read(node.Input(MseLoss.Target)).Read(node.Inputs[MseLoss.Weights])
            .Update(context.Scratch(4L * blocks)).Update(context.Counters(1))
            .Write(node.Output)
            .Argument((float)(1.0 / count)).Extent("COUNT", count).Extent("SIZE", size)
            .Launch(blocks, Elementwise.Block);
    }
}

/// <summary>Launches of <c>kernels/mse_loss.cu</c>, backward.</summary>
internal sealed class MseLossGradPredictionLaunch : OperatorLaunch<MseLossGradPrediction>
{
    protected override void Prepare(Node node, MseLossGradPrediction op, LaunchContext context)
    {
        Storage prediction = context.StorageOf(node.Input(MseLossGradPrediction.Prediction));
        Storage target = context.StorageOf(node.Input(MseLossGradPrediction.Target)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), size = count / node.Output.Shape[0];
        context.Kernel("mse_loss.cu", "mse_loss_grad_prediction")
            .Type("P_T", prediction).Type("T_T", target).Type("Y_T", y)
            .Define("WEIGHTS", node.Inputs[MseLossGradPrediction.Weights] is not null)
            .Read(node.Input(MseLossGradPrediction.Prediction)).Read(node.Input(MseLossGradPrediction.Target))
            .Read(node.Inputs[MseLossGradPrediction.Weights]).Read(node.Input(MseLossGradPrediction.Dloss)).Write(node.Output)
            .Argument((float)(2.0 / count)).Extent("COUNT", count).Extent("SIZE", size)
            .LaunchElementwise(count, Elementwise.Vector(size, prediction, target, y));
    }
}
