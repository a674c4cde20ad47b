namespace RawDiffusion.Engine.Operators;

/// <summary>
/// y[r] = x[group of r] (+ e[r]): gives each row of a group its copy of what they share. x [N, ..], y [R, ..].
/// Input 1, optional, is an embedding [R, C] added to each position of a [R, H, W, C] output.
/// </summary>
/// <param name="Groups">Rows of each group.</param>
public sealed record RepeatRows(RowGroups Groups) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Embedding = 1;

    /// <inheritdoc/>
    public override bool IsActivation => true;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", -1);
        Require(x.Shape.Rank >= 1 && x.Shape[0] == Groups.Count,
            $"x {x} must have {Groups.Count} rows, one for each group");
        Shape output = x.Shape.WithRows(Groups.Rows);
        RequireShape(inputs, Embedding, "embedding", [Groups.Rows, output[^1]]);
        return output;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        Engine.Cost.Elementwise(inputs, output, inputs[Embedding] is null ? 0 : 1);

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants)
    {
        Require(node.Inputs[Embedding] is null, "a repetition has no gradient once an embedding was fused into it");
        var sum = new RowGroups(Groups.Counts, [.. Enumerable.Repeat(1f, Groups.Rows)]);
        Shape shape = node.Input(X).Shape;
        if (shape.Rank == 4) return [g.SumRows(dy, sum)];
        Value rows = g.Reshape(dy, [Groups.Rows, 1, 1, (int)(dy.Shape.Count / Math.Max(1, Groups.Rows))]);
        return [g.Reshape(g.SumRows(rows, sum), shape)];
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.RepeatRows"/>
    public static Value RepeatRows(this Graph g, Value x, RowGroups groups, string? name = null) =>
        g.Apply(new RepeatRows(groups), [x, null], name);
}
