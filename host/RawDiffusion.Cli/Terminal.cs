using RawDiffusion.Engine;

namespace RawDiffusion.Cli;

/// <summary>Where a verb writes to, and what stops it. Tests give their own writers.</summary>
/// <param name="Out">Results.</param>
/// <param name="Error">Progress, warnings, errors.</param>
/// <param name="DrawsProgress">Whether a progress bar can be drawn on standard error.</param>
/// <param name="Cancellation">Cancelled by Ctrl-C.</param>
/// <param name="Ranks">The processes that mpirun or srun started; null where this one is alone.</param>
internal sealed record Terminal(TextWriter Out, TextWriter Error, bool DrawsProgress, CancellationToken Cancellation, ICommunicator? Ranks = null)
{
    /// <summary>Whether this process is the one of <see cref="Ranks"/> that writes files and results.</summary>
    public bool IsFirst => Ranks is not { Rank: > 0 };

    /// <summary>Called by work that Ctrl-C lets come to a good end first; a second Ctrl-C still ends it at once.</summary>
    public Action EndsInGoodOrder { get; init; } = () => { };

    /// <summary>Tells people something that does not stop the work.</summary>
    public void Warn(string message) => Error.WriteLine($"warning: {OneLine(message)}");

    /// <summary>A message without line ends and control characters, whatever file names and values it quotes.</summary>
    public static string OneLine(string message) =>
        string.Concat(message.ReplaceLineEndings(" ").Select(c => char.IsControl(c) ? ' ' : c));
}
