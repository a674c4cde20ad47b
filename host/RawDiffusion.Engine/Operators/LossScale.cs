namespace RawDiffusion.Engine.Operators;

/// <summary>
/// The next scale of a loss whose gradients are stored in float16: as large as they allow, so that small ones do not become zero
/// (Micikevicius et al. 2018, "Mixed Precision Training"; constants of torch.cuda.amp.GradScaler). Where the norm is finite, the
/// scale doubles after <see cref="Interval"/> such steps in a row, unless it would become infinite; where it is not, some gradient
/// overflowed: the step is skipped (<see cref="Adam"/>), and the scale halves. Inputs: 0 state [3], <see cref="Scale"/>,
/// <see cref="Row"/> and <see cref="Skipped"/>; 1 norm [1] of all gradients.
/// </summary>
public sealed record LossScale() : Operator(arity: 2)
{
    /// <summary>Positions of the inputs.</summary>
    public const int State = 0, Norm = 1;

    /// <summary>Elements of the state: the scale, good steps in a row since it changed, steps that were skipped in all.</summary>
    public const int Scale = 0, Row = 1, Skipped = 2, Length = 3;

    /// <summary>Scale to begin with.</summary>
    public const float Initial = 65536;

    /// <summary>Good steps in a row before the scale doubles.</summary>
    public const int Interval = 2000;

    /// <inheritdoc/>
    public override int InPlaceInput => State;

    /// <inheritdoc/>
    public override Shape Infer(IReadOnlyList<Value?> inputs)
    {
        Take(inputs, State, "state", 1);
        RequireShape(inputs, State, "state", [Length]);
        Take(inputs, Norm, "norm", 1);
        RequireShape(inputs, Norm, "norm", [1]);
        return [Length];
    }
}

public static partial class GraphBuilder
{
    /// <inheritdoc cref="Operators.LossScale"/>
    public static Value LossScale(this Graph g, Value state, Value norm, string? name = null) =>
        g.Apply(new LossScale(), [state, norm], name);
}
