namespace RawDiffusion.Engine.Operators;

/// <summary>
/// All parameters' gradients side by side in one array [P] (<see cref="ParameterLayout"/>). A plan that reuses memory lets them
/// be computed in their places, so that it costs nothing; elements between them are not written.
/// </summary>
/// <remarks>Inputs: one for each parameter, of its shape.</remarks>
/// <param name="Layout">Places.</param>
public sealed record Pack(ParameterLayout Layout) : Operator(Layout.Parameters.Count)
{
    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        int given = inputs.Count(i => i is not null);
        Require(given == inputs.Count, $"{inputs.Count} parameters got {given} inputs");
        for (int i = 0; i < inputs.Count; i++)
        {
            Take(inputs, i, Layout.Parameters[i].Name, -1);
            RequireShape(inputs, i, Layout.Parameters[i].Name, Layout.Parameters[i].Shape);
        }
        return Layout.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => default;
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.Pack"/>
    public static Value Pack(this Graph g, ParameterLayout layout, IReadOnlyList<Value> values, string? name = null) =>
        g.Apply(new Pack(layout), [.. values], name);
}
