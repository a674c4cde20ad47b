namespace RawDiffusion.Cli;

/// <summary>A failure that is told in one line: what was expected, what was found, what to do.</summary>
internal class CommandException(string message) : Exception(message)
{
    /// <summary>The process's exit code.</summary>
    public virtual int ExitCode => Cli.ExitCode.Failure;
}

/// <summary>An option's value cannot be used.</summary>
internal sealed class UsageException(string message) : CommandException(message)
{
    public override int ExitCode => Cli.ExitCode.Usage;

    /// <summary>Runs what checks option values, and turns its exceptions into this one.</summary>
    public static T Guard<T>(Func<T> check)
    {
        try
        {
            return check();
        }
        catch (ArgumentException e)
        {
            throw new UsageException(e.Message);
        }
    }
}

/// <summary>Exit codes of the process.</summary>
internal static class ExitCode
{
    public const int Success = 0;
    public const int Failure = 1;
    public const int Usage = 2;

    /// <summary>128 + SIGINT, as shells have it.</summary>
    public const int Interrupted = 130;

    /// <summary>128 + SIGPIPE: as of other tools whose output nobody reads any more.</summary>
    public const int OutputClosed = 141;
}
