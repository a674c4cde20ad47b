using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Folds a batch norm with constant statistics into the convolution before it: w' = w s, b' = (b - mean) s + beta,
/// with s = gamma / sqrt(variance + eps), computed in double.
/// </summary>
public static class FoldBatchNorm
{
    /// <summary>A graph that computes the same, up to rounding.</summary>
    public static Graph Apply(Graph graph) => RemoveDead.Apply(GraphRewriter.Rewrite(graph, Replace));

    private static Value? Replace(GraphRewriter rewriter, Node node)
    {
        if (node.Operator is not BatchNorm op || !rewriter.IsReadOnce(node, BatchNorm.X)) return null;
        Value?[] inputs = rewriter.Inputs(node);
        if (inputs.Skip(BatchNorm.Gamma).Any(i => i!.Kind != ValueKind.Constant)) return null;
        if (inputs[BatchNorm.X]!.Producer is not { Operator: Conv2d { OnStore: Activation.None } conv } producer) return null;
        Value w = producer.Input(Conv2d.Weight);
        Value? b = producer.Inputs[Conv2d.Bias];
        if (w.Kind != ValueKind.Constant || b is not null && b.Kind != ValueKind.Constant) return null;
        if (producer.Inputs[Conv2d.Embedding] is not null || producer.Inputs[Conv2d.Residual] is not null) return null;

        int channels = w.Shape[0];
        double[] Scale()
        {
            float[] gamma = Read(inputs[BatchNorm.Gamma]!), variance = Read(inputs[BatchNorm.Variance]!);
            return [.. gamma.Zip(variance, (g, v) => g / Math.Sqrt((double)v + op.Epsilon))];
        }
        Value weight = rewriter.Target.Constant(w.Name, w.Shape, destination =>
        {
            w.Constant!(destination);
            double[] scale = Scale();
            int fan = destination.Length / channels;
            for (int i = 0; i < destination.Length; i++) destination[i] = (float)(destination[i] * scale[i / fan]);
        });
        Value bias = rewriter.Target.Constant(node.Name + ".bias", [channels], destination =>
        {
            double[] scale = Scale();
            float[] beta = Read(inputs[BatchNorm.Beta]!), mean = Read(inputs[BatchNorm.Mean]!);
            float[] old = b is null ? new float[channels] : Read(b);
            for (int c = 0; c < channels; c++) destination[c] = (float)(((double)old[c] - mean[c]) * scale[c] + beta[c]);
        });
        Value?[] fused = [.. producer.Inputs];
        fused[Conv2d.Weight] = weight;
        fused[Conv2d.Bias] = bias;
        return rewriter.Target.Apply(conv, fused, producer.Name);
    }

    private static float[] Read(Value constant)
    {
        float[] data = new float[constant.Shape.Count];
        constant.Constant!(data);
        return data;
    }
}
