using System.Diagnostics;
using System.Globalization;
using RawDiffusion.Diffusion.Training;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace RawDiffusion.Cli.Output;

/// <summary>
/// Progress of a training run on standard error: a bar, numbers and the curve of the loss on a terminal; a line for each line of the log
/// elsewhere.
/// </summary>
internal sealed class TrainingDisplay(Terminal terminal)
{
    private const double Smoothing = 0.98;
    private const int CurveWidth = 60, CurveHeight = 6;
    private static readonly TimeSpan RefreshEvery = TimeSpan.FromMilliseconds(250);

    private readonly Lock gate = new();
    private readonly IAnsiConsole? console = terminal.ShowsBar
        ? AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(terminal.Error) }) : null;
    private readonly List<float> losses = [];
    private double smooth, weight, rate;

    /// <summary>Runs work that reports each step.</summary>
    public RunResult Run(Func<Action<RunProgress>, RunResult> work)
    {
        if (console is null)
        {
            return work(progress =>
            {
                Add(progress);
                if (progress.Logged) terminal.Tell(Numbers(progress));
            });
        }
        return terminal.Draw(WriteAbove, () => console.Live(new Text("")).AutoClear(true).Start(context =>
        {
            var watch = Stopwatch.StartNew();
            TimeSpan next = TimeSpan.Zero;
            return work(progress =>
            {
                Add(progress);
                if (watch.Elapsed < next) return;
                next = watch.Elapsed + RefreshEvery;
                lock (gate) context.UpdateTarget(Picture(progress));
            });
        }));

        void WriteAbove(string line)
        {
            lock (gate) console.WriteLine(line);
        }
    }

    private void Add(RunProgress progress)
    {
        smooth = Smoothing * smooth + (1 - Smoothing) * progress.Step.Loss;
        weight = Smoothing * weight + (1 - Smoothing);
        double current = progress.Images / Math.Max(progress.Seconds, 1e-9);
        rate = rate == 0 ? current : 0.95 * rate + 0.05 * current;
        losses.Add((float)(smooth / weight));
    }

    private string Numbers(RunProgress progress)
    {
        double left = (progress.Steps - progress.Step.Step) * progress.Images / rate;
        return string.Create(CultureInfo.InvariantCulture,
            $"step {progress.Step.Step} of {progress.Steps}  loss {smooth / weight:0.00000}  gradient {progress.Step.GradientNorm:0.0000}  "
            + $"rate {progress.Step.LearningRate:0.######}  {rate:0.0} images/s  {Duration(left)} left");
    }

    private Rows Picture(RunProgress progress)
    {
        int done = (int)(CurveWidth * progress.Step.Step / progress.Steps);
        string bar = new string('█', done) + new string('░', CurveWidth - done);
        return new Rows([new Text(bar), new Text(Numbers(progress)), .. LossCurve.Draw(losses, CurveWidth, CurveHeight)
            .Select(line => (IRenderable)new Text(line))]);
    }

    private static string Duration(double seconds) => seconds switch
    {
        < 90 => string.Create(CultureInfo.InvariantCulture, $"{seconds:0} s"),
        < 5400 => string.Create(CultureInfo.InvariantCulture, $"{seconds / 60:0} min"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{seconds / 3600:0.0} h"),
    };
}
