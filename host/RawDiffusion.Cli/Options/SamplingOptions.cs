using System.CommandLine;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Sampling.Transitions;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Options;

/// <summary>Options that decide the chain from noise to image.</summary>
internal sealed class SamplingOptions
{
    private readonly Option<string> sampler = OptionOf.Choice(
        "--sampler", "Sampler", Samplers.All[0].Name, [.. Samplers.All.Skip(1).Select(s => s.Name)]);
    private readonly Option<int?> steps = OptionOf.Integer("--steps", "Sampling steps, a divisor of --diffusion-steps [default: "
        + string.Join(", ", Samplers.All.Select(s => $"{s.Name} {(s.UsualSteps is { } usual ? $"{usual}" : "all")}")) + "]");
    private readonly Option<double?> eta = OptionOf.Number("--eta", "Noise that ddim adds at each step, 0 to 1 [default: 0]");
    private readonly Option<double?> guidance = OptionOf.Number(
        "--guidance", "Scale s of classifier-free guidance, u + s (c - u) [default: 1, none]");
    private readonly Option<bool> noClip = OptionOf.Flag("--no-clip", "Do not clip predicted images to [-1, 1]");
    private readonly Option<string> predict = OptionOf.Choice(
        "--predict", "What the network was trained to predict; models that were trained here know it", Predictions.Names[0],
        [.. Predictions.Names.Skip(1)]);
    private readonly Option<string> schedule = OptionOf.Choice(
        "--schedule", "Noise schedule of training; models that were trained here know it", "squaredcos", "linear");
    private readonly Option<int?> diffusionSteps = OptionOf.Integer(
        "--diffusion-steps", "Steps of the training process [default: 1000]", 1, 1_000_000);

    private readonly Option<bool> guard = OptionOf.Flag(
        "--guard", "Stop at the first NaN or infinity, and name the operator that produced it");

    public void AddTo(Command command)
    {
        command.Options.Add(sampler);
        command.Options.Add(steps);
        command.Options.Add(eta);
        command.Options.Add(guidance);
        command.Options.Add(noClip);
        command.Options.Add(predict);
        command.Options.Add(schedule);
        command.Options.Add(diffusionSteps);
        command.Options.Add(guard);
    }

    public float Guidance(ParseResult result) => (float)(result.GetValue(guidance) ?? 1);

    public SamplerOptions Sampler(ParseResult result, uint seed) => new()
    {
        Clip = !result.GetValue(noClip),
        Predicts = IsGiven(result, predict) ? Predictions.Named(result.GetValue(predict)!) : null,
        Seed = seed,
        Compile = new CompileOptions { Guard = result.GetValue(guard) },
    };

    /// <summary>All steps.</summary>
    /// <param name="result">The arguments.</param>
    /// <param name="metadata">The model's: what it says of its training counts where the arguments do not.</param>
    /// <exception cref="UsageException">Values that do not go together.</exception>
    public Transition Transition(ParseResult result, IReadOnlyDictionary<string, string> metadata)
    {
        int timesteps = result.GetValue(diffusionSteps) ?? ModelMetadata.DiffusionStepsOf(metadata);
        NamedSampler named = Samplers.Named(result.GetValue(sampler)!);
        int? count = result.GetValue(steps) ?? (named.UsualSteps is { } usual ? Math.Min(usual, timesteps) : null);
        return UsageException.Guard(() =>
        {
            string name = IsGiven(result, schedule) ? result.GetValue(schedule)! : ModelMetadata.ScheduleOf(metadata);
            var process = new GaussianDiffusion(BetaSchedule.Named(name, timesteps));
            if (count is int retained) process = process.Respace(TimestepSpacing.Every(timesteps, retained));
            return named.For(process, result.GetValue(eta) ?? 0);
        });
    }

    private static bool IsGiven(ParseResult result, Option<string> option) => result.GetResult(option) is { Implicit: false };
}
