namespace RawDiffusion.Engine.Operators;

/// <summary>
/// How alike the vectors of each row are, [1]: the mean over rows and over all pairs (i, j) of cos(z_i, z_j) - [i = j]. Signed, not
/// squared. Input x [N, Vectors * D]; a vector shorter than 1e-12 is divided by 1e-12, as PyTorch's normalize does.
/// </summary>
/// <param name="Vectors">Vectors of a row.</param>
public sealed record PairwiseCosine(int Vectors) : Operator(arity: 1)
{
    /// <summary>Position of the input.</summary>
    public const int X = 0;

    /// <summary>Least length to divide by.</summary>
    public const double Epsilon = 1e-12;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Value x = Take(inputs, X, "x", 2);
        Require(Vectors > 0 && x.Shape[1] % Vectors == 0 && x.Shape.Count > 0,
            $"the rows of x {x} cannot be split into {Vectors} vectors");
        return [1];
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) =>
        new(4.0 * inputs[X]!.Shape.Count, Engine.Cost.Traffic(inputs, output));

    /// <inheritdoc/>
    public override IReadOnlyList<Value?> Gradient(Graph g, Node node, Value dy, Predicate<int> wants) =>
        [g.Apply(new PairwiseCosineGrad(Vectors), [node.Input(X), dy])];
}

/// <summary>
/// The gradient of <see cref="PairwiseCosine"/> by x: with u_i = z_i / |z_i| and s the sum of a row's u_i,
/// du = 2 s / (N Vectors^2) dloss and dz_i = (du - u_i (u_i . du)) / |z_i|. Inputs: 0 x [N, Vectors * D]; 1 dloss [1].
/// </summary>
/// <param name="Vectors">Vectors of a row.</param>
public sealed record PairwiseCosineGrad(int Vectors) : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int X = 0, Dloss = 1;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        new PairwiseCosine(Vectors).Infer(inputs);
        Take(inputs, Dloss, "dloss", 1);
        RequireShape(inputs, Dloss, "dloss", [1]);
        return inputs[X]!.Shape;
    }

    /// <inheritdoc/>
    public override Cost Cost(IReadOnlyList<Value?> inputs, Shape output) => Engine.Cost.Elementwise(inputs, output, 6);
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.PairwiseCosine"/>
    public static Value PairwiseCosine(this Graph g, Value x, int vectors, string? name = null) =>
        g.Apply(new PairwiseCosine(vectors), [x], name);
}
