using System.Diagnostics;
using System.Globalization;
using RawDiffusion.Engine;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace RawDiffusion.Cli.Output;

/// <summary>
/// Progress of long work on standard error: a bar with rate and time left on a terminal, a line every few seconds in a log.
/// </summary>
internal static class ProgressDisplay
{
    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(10);

    /// <summary>Runs work that reports its progress.</summary>
    /// <param name="terminal">Where to show it.</param>
    /// <param name="what">What is being done.</param>
    /// <param name="total">Number of steps.</param>
    /// <param name="work">Calls its argument after each step.</param>
    /// <exception cref="CommandException">A guarded device met a NaN or an infinity; the message names the step too.</exception>
    public static T Run<T>(Terminal terminal, string what, int total, Func<Action, T> work)
    {
        int done = 0;
        try
        {
            return terminal.ShowsBar ? Draw(terminal, what, total, Counted) : Log(terminal, what, total, Counted);
        }
        catch (NonFiniteException e)
        {
            throw new CommandException($"step {done + 1} of {total}: {e.Message}");
        }

        T Counted(Action stepDone) => work(() =>
        {
            done++;
            stepDone();
        });
    }

    private static T Log<T>(Terminal terminal, string what, int total, Func<Action, T> work)
    {
        var watch = Stopwatch.StartNew();
        (int done, TimeSpan next) = (0, LogInterval);
        return work(() =>
        {
            done++;
            if (watch.Elapsed < next || done == total) return;
            next = watch.Elapsed + LogInterval;
            TimeSpan left = watch.Elapsed * ((double)(total - done) / done);
            terminal.Tell(string.Create(CultureInfo.InvariantCulture,
                $"{what}: {done} of {total} steps, {done / watch.Elapsed.TotalSeconds:0.0} a second, {left.TotalSeconds:0} s left"));
        });
    }

    private static T Draw<T>(Terminal terminal, string what, int total, Func<Action, T> work)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(terminal.Error) });
        return terminal.Draw(console.WriteLine, () => console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new StepsColumn(), new RemainingTimeColumn())
            .Start(context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(what), maxValue: total);
                return work(() => task.Increment(1));
            }));
    }

    private sealed class StepsColumn : ProgressColumn
    {
        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime)
        {
            double rate = task.ElapsedTime is { TotalSeconds: > 0 } elapsed ? task.Value / elapsed.TotalSeconds : 0;
            return new Text(string.Create(CultureInfo.InvariantCulture, $"{task.Value:0}/{task.MaxValue:0} steps  {rate:0.0}/s"));
        }
    }
}
