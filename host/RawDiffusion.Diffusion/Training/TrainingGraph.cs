using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;

namespace RawDiffusion.Diffusion.Training;

/// <summary>
/// A training step as one graph: q-sample, the K factors' forward pass, the loss, its gradients, their norm, Adam and the
/// moving average. Source: the authors' <c>training_losses</c> (gaussian_diffusion.py) and <c>run_loop</c> (train_util.py).
/// </summary>
/// <remarks>
/// Inputs, B images: <c>x_start</c> [B, S, S, C]; <c>noise</c>, alike, where the caller gives it; <c>t</c> [B]; <c>signal</c> and
/// <c>sigma</c> [B], sqrt(alphasCumprod_t) and sqrt(1 - alphasCumprod_t); <c>weights</c> [B], each image's share of the loss;
/// <c>keep</c> [B], 0 where latents are dropped; <c>rates</c> [2], learning rate and the moving average's share. States: those of
/// <see cref="TrainableWeights"/>, <c>step</c> [1], steps done, and with <see cref="TrainingOptions.LossScaling"/>
/// <see cref="ScaleName"/> [3]. Outputs: <c>loss</c> and <c>gradient_norm</c> [1].
/// </remarks>
public sealed class TrainingGraph
{
    /// <summary>Name of the state of a <see cref="LossScale"/>.</summary>
    public const string ScaleName = "loss_scale";

    // Streams of random numbers under a run's seed; the host draws timesteps and dropped latents.
    internal const uint NoiseStream = 1, TimestepStream = 2, KeepStream = 3;

    // Sums of gradients over processes start one by one: so many go on beside the backward pass.
    private const int Buckets = 8;

    private readonly UNetConfig config;
    private readonly TrainingOptions options;
    private readonly bool noiseGiven;
    private readonly IReadOnlyList<ParameterLayout> buckets;

    /// <summary>Builds the graph.</summary>
    /// <param name="config">Architecture of the network.</param>
    /// <param name="options">What to compute.</param>
    /// <param name="noiseGiven">Whether the caller writes the noise instead of letting the graph draw it.</param>
    /// <exception cref="GraphException">The batch cannot be split as the options say.</exception>
    public TrainingGraph(UNetConfig config, TrainingOptions options, bool noiseGiven = false)
    {
        (this.config, this.options, this.noiseGiven) = (config, options, noiseGiven);
        if (options.BatchSize < 1 || options.Accumulate < 1 || options.BatchSize % options.Accumulate != 0)
            throw new GraphException($"a batch of {options.BatchSize} images cannot be split into {options.Accumulate} equal parts");
        if (options.World < 1 || options.Rank < 0 || options.Rank >= options.World)
            throw new GraphException($"there is no process {options.Rank} of {options.World}");
        Weights = new TrainableWeights(DecompTensors.Of(config));
        buckets = Weights.Layout.Split(options.World == 1 ? 1 : Buckets);
        Graph = options.World == 1 ? Build() : ReduceEarly.Apply(Build());
    }

    /// <summary>The graph.</summary>
    public Graph Graph { get; }

    /// <summary>Places of its parameters.</summary>
    public TrainableWeights Weights { get; }

    private int Part => options.BatchSize / options.Accumulate;

    private Graph Build()
    {
        var g = new Graph();
        int batch = options.BatchSize;
        Shape images = [batch, config.ImageSize, config.ImageSize, config.ImageChannels];
        Value step = g.State("step", [1], DType.I32);
        Value state = Weights.State(g);
        var whole = new Dictionary<string, Value>
        {
            ["x_start"] = g.Input("x_start", images),
            ["noise"] = noiseGiven ? g.Input("noise", images) : Noise(g, images, step),
        };
        foreach (string name in (string[])["t", "signal", "sigma", "weights"]) whole[name] = g.Input(name, [batch]);
        if (options.UnconditionalProbability > 0) whole["keep"] = g.Input("keep", [batch]);
        Value rates = g.Input("rates", [2]);
        Value? scale = options.LossScaling ? g.State(ScaleName, [LossScale.Length]) : null;

        // Running statistics move on from part to part.
        var running = Weights.Statistics.ToDictionary(s => s.Name, s => Weights.Tensor(g, s));
        Dictionary<string, Value> states = new(running);
        Value? loss = null;
        var gradients = new Value[buckets.Count];
        for (int i = 0; i < options.Accumulate; i++)
        {
            Graph part = BuildPart(i);
            var arguments = new Dictionary<string, Value>(running) { [TrainableWeights.StateName] = state, ["step"] = step };
            if (scale is not null) arguments[ScaleName] = scale;
            foreach ((string name, Value value) in whole)
            {
                arguments[name] = options.Accumulate == 1 ? value
                    : g.View(value, value.Shape.WithRows(Part), i * (value.Shape.Count / options.Accumulate), $"{name}.{i}");
            }

            Func<Value, Value> copy = Inline.Into(g, part, arguments);
            foreach ((Value old, Value next) in part.Updates) running[old.Name] = copy(next);
            Value partLoss = copy(part.Outputs["loss"]);
            loss = loss is null ? partLoss : g.Add(loss, partLoss, "loss");
            for (int b = 0; b < buckets.Count; b++)
            {
                Value partGradient = copy(part.Outputs[$"gradient.{b}"]);
                gradients[b] = i == 0 ? partGradient : g.Add(gradients[b], partGradient, $"gradient.{b}");
            }
        }
        foreach ((string name, Value next) in running) g.Assign(states[name], next);

        Value gradient = options.World == 1 ? gradients[0] : SumOverRanks(g, gradients);
        Value norm = g.GradientNorm(Weights.Layout, gradient, scale, "gradient_norm");
        g.Assign(state, g.Adam(Weights.Layout, options.Adam, state, gradient, norm, rates, step, scale, "adam"));
        if (scale is not null) g.Assign(scale, g.LossScale(scale, norm));
        g.Assign(step, g.NextStep(step));
        g.Output("loss", options.World == 1 ? loss! : g.AllReduce(loss!, options.World, "loss.ranks"));
        g.Output("gradient_norm", norm);
        return g;
    }

    // Each process takes its images' part of the noise of all.
    private Value Noise(Graph g, Shape images, Value step)
    {
        Value all = g.RandomNormal(images.WithRows(options.World * options.BatchSize), step, options.Seed, NoiseStream, "noise");
        return options.World == 1 ? all : g.View(all, images, options.Rank * images.Count, "noise.rank");
    }

    private Value SumOverRanks(Graph g, Value[] gradients)
    {
        Value[] sums = [.. gradients.Select((x, b) => g.StartAllReduce(x, options.World, $"gradient.{b}.start"))];
        var layout = new ParameterLayout(buckets.Select((bucket, b) => ($"gradient.{b}", bucket.Shape)));
        return g.Pack(layout, [.. sums.Select((sum, b) => g.AllReduceWait(sum, $"gradient.{b}.sum"))], "gradient");
    }

    // Loss and gradient of a part of the batch, as shares of the loss of all processes' batches. What does not depend on the factor is
    // shared before gradients are taken, so that its gradients are shared too.
    private Graph BuildPart(int part)
    {
        var g = new Graph();
        Value loss = new DecompLoss(config, Weights, options).InTraining(g, Part, options.Rank * options.BatchSize + part * Part);
        int shares = options.Accumulate * options.World;
        g.Output("loss", shares == 1 ? loss : g.ScaleRows(loss, g.Constant("share", [1], [1f / shares]), "share"));
        g = ShareAcrossRows.Apply(g);
        loss = g.Outputs["loss"];
        if (options.LossScaling)
            loss = g.ScaleRows(loss, g.View(g.Input(ScaleName, [LossScale.Length]), [1], LossScale.Scale, ScaleName), "loss.scaled");
        var parameters = g.Nodes.Where(n => n.Operator is View && n.Input(View.X).Name == TrainableWeights.StateName)
            .ToDictionary(n => ((View)n.Operator).Offset, n => n.Output);
        IReadOnlyList<Value> gradients = Gradients.Of(g, loss, [.. Weights.Layout.Parameters.Select(p => parameters[p.Offset])]);
        for (int b = 0, first = 0; b < buckets.Count; first += buckets[b++].Parameters.Count)
            g.Output($"gradient.{b}", g.Pack(buckets[b], [.. gradients.Skip(first).Take(buckets[b].Parameters.Count)], $"gradients.{b}"));
        return g;
    }
}
