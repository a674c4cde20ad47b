namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Self-attention over all positions of an image: softmax(q k^T / sqrt(d)) v in each head.
/// qkv [N, H, W, 3C] holds for each head its q, k and v channels side by side ([head][q|k|v][d]); output [N, H, W, C].
/// Source: the authors' QKVAttention (unet.py), whose layout of heads this is.
/// </summary>
/// <param name="Heads">Number of heads; divides C.</param>
public sealed record Attention(int Heads) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int Qkv = 0;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value qkv = Take(inputs, Qkv, "qkv", 4);
        Require(Heads > 0 && qkv.Shape[^1] % (3 * Heads) == 0, $"the channels of qkv {qkv} must be a multiple of 3 x {Heads} heads");
        return qkv.Shape.WithChannels(qkv.Shape[^1] / 3);
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output)
    {
        double positions = (double)output[1] * output[2];
        double scores = output[0] * positions * positions;
        return new(4 * scores * output[^1] + 5 * scores * Heads, Engine.Cost.Traffic(inputs, output));
    }

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        [g.AttentionGrad(node.Input(Qkv), node.Output, dy, Heads)];
}

/// <summary>
/// Gradient of <see cref="Attention"/> by its input. With s = q k^T / sqrt(d) and p = softmax(s) in each head:
/// dv = p^T dy, ds = p (dy v^T - sum(dy y)), dq = ds k / sqrt(d), dk = ds^T q / sqrt(d).
/// qkv [N, H, W, 3C]; y, its attention, and dy [N, H, W, C]; dqkv [N, H, W, 3C].
/// </summary>
/// <param name="Heads">Number of heads of the attention.</param>
public sealed record AttentionGrad(int Heads) : Operator(arity: 3)
{
    /// <summary>Positions of the inputs.</summary>
    public const int Qkv = 0, Y = 1, Dy = 2;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override bool IsRowWise => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Shape result = new Attention(Heads).Infer(inputs);
        Take(inputs, Y, "y", 4);
        Take(inputs, Dy, "dy", 4);
        RequireShape(inputs, Y, "y", result);
        RequireShape(inputs, Dy, "dy", result);
        return inputs[Qkv]!.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output)
    {
        double positions = (double)output[1] * output[2];
        double scores = output[0] * positions * positions;
        // Five products of the size of the two that the attention itself has, and the exponentials once more.
        return new(10 * scores * output[^1] / 3 + 8 * scores * Heads, Engine.Cost.Traffic(inputs, output));
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Attention"/>
    public static Value Attention(this Graph g, Value qkv, int heads, string? name = null) => g.Apply(new Attention(heads), [qkv], name);

    /// <inheritdoc cref="Operators.AttentionGrad"/>
    public static Value AttentionGrad(this Graph g, Value qkv, Value y, Value dy, int heads, string? name = null) =>
        g.Apply(new AttentionGrad(heads), [qkv, y, dy], name);
}
