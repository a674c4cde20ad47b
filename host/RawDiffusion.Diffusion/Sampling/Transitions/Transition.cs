using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Sampling.Transitions;

/// <summary>
/// How x moves, given predictions: a sequence of evaluations of the networks, and what becomes of x after each. One compiled graph serves
/// them all, so what differs from one to the next stands in tables that the step counter indexes. A transition that needs several
/// predictions at one level repeats the level's timestep; one that needs earlier predictions keeps them in states of the graph.
/// </summary>
public abstract class Transition
{
    /// <summary>Names the evaluations.</summary>
    /// <param name="diffusion">The process, respaced or not.</param>
    /// <param name="timesteps">The timestep of the process at each evaluation, in the order in which they run.</param>
    protected Transition(GaussianDiffusion diffusion, IEnumerable<int> timesteps)
    {
        Diffusion = diffusion;
        Timesteps = [.. timesteps];
        ModelTimesteps = [.. Timesteps.Select(t => diffusion.ModelTimesteps[t])];
    }

    /// <summary>The noising process that is undone, respaced or not.</summary>
    public GaussianDiffusion Diffusion { get; }

    /// <summary>The timestep of the process at each evaluation, in the order in which they run.</summary>
    public IReadOnlyList<int> Timesteps { get; }

    /// <summary>The timestep that the networks are given at each evaluation.</summary>
    public IReadOnlyList<float> ModelTimesteps { get; }

    /// <summary>Number of evaluations.</summary>
    public int Count => Timesteps.Count;

    /// <summary>Appends what follows an evaluation.</summary>
    /// <param name="g">Graph to append to; it may get states.</param>
    /// <param name="inputs">What was found.</param>
    /// <returns>The next x [N, H, W, C].</returns>
    public abstract Value Append(Graph g, TransitionInputs inputs);
}

/// <summary>What a transition moves x by: an evaluation of the networks in a sampling graph.</summary>
/// <param name="X">Where they were evaluated [N, H, W, C].</param>
/// <param name="Output">What they found [N, H, W, C].</param>
/// <param name="Predicts">What that means.</param>
/// <param name="Step">Number of the evaluation [1].</param>
/// <param name="Clip">Whether predictions of x_0 are clipped to [-1, 1].</param>
/// <param name="Noise">Appends standard normal noise [N, H, W, C] of the step, for a transition that adds some.</param>
public sealed record TransitionInputs(Value X, Value Output, Prediction Predicts, Value Step, bool Clip, Func<Value> Noise);
