using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Sampling.Transitions;

/// <summary>
/// A transition whose next x is linear in predXStart, x and noise: all it states is an <see cref="Update"/> for each evaluation. It runs as
/// one kernel, fused with the mean over factors and the output convolution.
/// </summary>
/// <param name="diffusion">The process, respaced or not.</param>
/// <param name="timesteps">The timestep of the process at each evaluation, in the order in which they run.</param>
public abstract class LinearTransition(GaussianDiffusion diffusion, IEnumerable<int> timesteps) : Transition(diffusion, timesteps)
{
    /// <summary>The constants of all evaluations.</summary>
    /// <param name="predicts">What the networks predict.</param>
    public StepTable Table(Prediction predicts) => new(Diffusion, predicts, Timesteps, At);

    /// <inheritdoc/>
    public sealed override Value Append(Graph g, TransitionInputs inputs)
    {
        StepTable table = Table(inputs.Predicts);
        Value coefficients = g.Constant("coefficients", [table.Count, StepTable.Columns], table.Coefficients.ToArray());
        return g.DenoiseStep(inputs.Output, inputs.X, coefficients, inputs.Step,
            table.AddsNoise ? inputs.Noise() : null, inputs.Clip);
    }

    /// <summary>What follows an evaluation.</summary>
    /// <param name="step">Its place in <see cref="Transition.Timesteps"/>.</param>
    protected abstract Update At(int step);
}
