using System.CommandLine;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Options;

/// <summary>Options that decide the chain from noise to image.</summary>
internal sealed class SamplingOptions
{
    private const int UsualDdimSteps = 50;

    private readonly Option<string> sampler = OptionOf.Choice("--sampler", "Sampler", "ddim", "ddpm");
    private readonly Option<int?> steps = OptionOf.Integer(
        "--steps", "Sampling steps, a divisor of --diffusion-steps [default: ddim 50, ddpm all]");
    private readonly Option<double?> eta = OptionOf.Number("--eta", "Noise that ddim adds at each step, 0 to 1 [default: 0]");
    private readonly Option<double?> guidance = OptionOf.Number(
        "--guidance", "Scale s of classifier-free guidance, u + s (c - u) [default: 1, none]");
    private readonly Option<bool> noClip = OptionOf.Flag("--no-clip", "Do not clip predicted images to [-1, 1]");
    private readonly Option<string> predict = OptionOf.Choice(
        "--predict", "What the network was trained to predict; models that were trained here know it", "xstart", "eps");
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
        Seed = seed,
        Compile = new CompileOptions { Guard = result.GetValue(guard) },
    };

    /// <summary>All steps.</summary>
    /// <param name="result">The arguments.</param>
    /// <param name="metadata">The model's: what it says of its training counts where the arguments do not.</param>
    /// <exception cref="UsageException">Values that do not go together.</exception>
    public StepTable Table(ParseResult result, IReadOnlyDictionary<string, string> metadata)
    {
        int timesteps = result.GetValue(diffusionSteps) ?? ModelMetadata.DiffusionStepsOf(metadata);
        SamplerKind kind = result.GetValue(sampler) == "ddpm" ? SamplerKind.Ddpm : SamplerKind.Ddim;
        string predicts = Trained(result, predict, ModelMetadata.PredictOf(metadata));
        Prediction prediction = predicts == "eps" ? Prediction.Epsilon : Prediction.XStart;
        int? count = result.GetValue(steps) ?? (kind == SamplerKind.Ddim ? Math.Min(UsualDdimSteps, timesteps) : null);
        return UsageException.Guard(() =>
        {
            string name = Trained(result, schedule, ModelMetadata.ScheduleOf(metadata));
            var process = new GaussianDiffusion(BetaSchedule.Named(name, timesteps));
            if (count is int retained) process = process.Respace(TimestepSpacing.Every(timesteps, retained));
            return StepTable.Sampling(process, kind, prediction, result.GetValue(eta) ?? 0);
        });
    }

    private static string Trained(ParseResult result, Option<string> option, string trained) =>
        result.GetResult(option) is { Implicit: false } ? result.GetValue(option)! : trained;
}
