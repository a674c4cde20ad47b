namespace RawDiffusion.Engine.Operators;

/// <summary>
/// The mean over rows of weight[n] times the mean squared error of the row, [1]. Inputs: 0 prediction [N, ..];
/// 1 target, the same shape; 2 weights [N], optional (1 where absent).
/// </summary>
public sealed record MseLoss() : Operator(arity: 3)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Prediction = 0, Target = 1, Weights = 2;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Check(inputs);
        return [1];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(3.0 * inputs[Prediction]!.Shape.Count, Engine.Cost.Traffic(inputs, output));

    internal static Shape Check(IReadOnlyList<Value?> inputs)
    {
        Value prediction = Take(inputs, Prediction, "prediction", -1);
        Take(inputs, Target, "target", -1);
        Require(prediction.Shape.Rank >= 1 && prediction.Shape.Count > 0, $"prediction {prediction} has no elements to take a mean of");
        RequireShape(inputs, Target, "target", prediction.Shape);
        RequireShape(inputs, Weights, "weights", [prediction.Shape[0]]);
        return prediction.Shape;
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(!wants(Target) && !wants(Weights), "there are no gradients by target and weights");
        return [g.Apply(new MseLossGradPrediction(), [node.Input(Prediction), node.Input(Target), node.Inputs[Weights], dy])];
    }
}

/// <summary>
/// The gradient of <see cref="MseLoss"/> by its prediction: dloss * weight[n] * 2 (prediction - target) / elements.
/// Inputs: those of <see cref="MseLoss"/>, and 3 dloss [1].
/// </summary>
public sealed record MseLossGradPrediction() : Operator(arity: 4)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Prediction = MseLoss.Prediction, Target = MseLoss.Target, Weights = MseLoss.Weights, Dloss = 3;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override int InPlaceInput => Prediction;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape shape = MseLoss.Check(inputs);
        Take(inputs, Dloss, "dloss", 1);
        RequireShape(inputs, Dloss, "dloss", [1]);
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
