namespace RawDiffusion.Engine.Operators;

/// <summary>
/// The mean over rows of weight[n] times the mean squared error of the row, [1]. Inputs: 0 prediction [N, ..];
/// 1 target, the same shape; 2 weights [N], optional (1 where absent).
/// </summary>
public sealed record MseLoss : Operator
{
    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Check(inputs);
        return [1];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(3.0 * inputs[0]!.Shape.Count, Engine.Cost.Traffic(inputs, output));

    internal static Shape Check(IReadOnlyList<Value?> inputs)
    {
        Value prediction = Take(inputs, 0, "prediction", -1);
        Take(inputs, 1, "target", -1);
        Require(prediction.Shape.Rank >= 1 && prediction.Shape.Count > 0, $"prediction {prediction} has no elements to take a mean of");
        RequireShape(inputs, 1, "target", prediction.Shape);
        RequireShape(inputs, 2, "weights", [prediction.Shape[0]]);
        return prediction.Shape;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(!wants(1) && !wants(2), "there are no gradients by target and weights");
        return [g.Apply(new MseLossGradPrediction(), [node.Input(0), node.Input(1), node.Inputs[2], dy])];
    }
}

/// <summary>
/// The gradient of <see cref="MseLoss"/> by its prediction: dloss * weight[n] * 2 (prediction - target) / elements.
/// Inputs: those of <see cref="MseLoss"/>, and 3 dloss [1].
/// </summary>
public sealed record MseLossGradPrediction : Operator
{
    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => 0;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape shape = MseLoss.Check(inputs);
        Take(inputs, 3, "dloss", 1);
        RequireShape(inputs, 3, "dloss", [1]);
        return shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 2);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.MseLoss"/>
    public static Value MseLoss(this Graph g, Value prediction, Value target, Value? weights = null, string? name = null) =>
        g.Apply(new MseLoss(), [prediction, target, weights], name);
}
