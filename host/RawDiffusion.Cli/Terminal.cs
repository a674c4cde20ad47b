using RawDiffusion.Diffusion.Data;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli;

/// <summary>How much people are told on standard error.</summary>
internal enum Verbosity
{
    /// <summary>Warnings and errors.</summary>
    Quiet,

    /// <summary>Also progress, and what decides the result.</summary>
    Normal,

    /// <summary>Also details.</summary>
    Verbose,
}

/// <summary>Where a verb writes to, and what stops it. Tests give their own writers.</summary>
/// <param name="Out">Results.</param>
/// <param name="Error">Progress, warnings, errors.</param>
/// <param name="DrawsProgress">Whether a progress bar can be drawn on standard error.</param>
/// <param name="Cancellation">Cancelled by Ctrl-C.</param>
/// <param name="Ranks">The processes that mpirun or srun started; null where this one is alone.</param>
internal sealed record Terminal(TextWriter Out, TextWriter Error, bool DrawsProgress, CancellationToken Cancellation,
    ICommunicator? Ranks = null)
{
    /// <summary>Whether this process is the one of <see cref="Ranks"/> that writes files and results.</summary>
    public bool IsFirst => Ranks is not { Rank: > 0 };

    /// <summary>Called by work that Ctrl-C lets come to a good end first; a second Ctrl-C still ends it at once.</summary>
    public Action EndsInGoodOrder { get; init; } = () => { };

    /// <summary>How much people are told; decided by the arguments.</summary>
    public Verbosity Verbosity { get; set; } = Verbosity.Normal;

    /// <summary>Whether to draw a progress bar.</summary>
    public bool ShowsBar => DrawsProgress && Verbosity > Verbosity.Quiet;

    private Action<string>? above;

    /// <summary>Tells people how the work goes and what decides its result, in one line; not with --quiet.</summary>
    public void Tell(string message) => Say(message, Verbosity.Normal);

    /// <summary>Tells those who ask for it with --verbose what was found and done, in one line.</summary>
    public void Detail(string message) => Say(message, Verbosity.Verbose);

    /// <summary>Tells people of something that does not stop the work, and that they may want to change.</summary>
    public void Warn(string message) => Say($"warning: {message}", Verbosity.Quiet);

    /// <summary>Tells people what a set's source holds that is not used, and why; nothing where all of it is.</summary>
    public void TellPassedOver(ImageSet set)
    {
        if (set.PassedOver.Count > 0) Tell($"{set.Name}: {set.Count} picture{(set.Count == 1 ? "" : "s")} used; {set.PassedOver}");
    }

    /// <summary>Does work beside a display that redraws itself: what people are told meanwhile is written above it.</summary>
    public T Draw<T>(Action<string> writeAbove, Func<T> work)
    {
        above = writeAbove;
        try
        {
            return work();
        }
        finally
        {
            above = null;
        }
    }

    private void Say(string message, Verbosity least)
    {
        if (Verbosity >= least) (above ?? Error.WriteLine)(OneLine(message));
    }

    /// <summary>A message without line ends and control characters, whatever file names and values it quotes.</summary>
    public static string OneLine(string message) =>
        string.Concat(message.ReplaceLineEndings(" ").Select(c => char.IsControl(c) ? ' ' : c));
}
