using RawDiffusion.Mpi;

namespace RawDiffusion.Cli;

/// <summary>
/// The command as one of several processes that mpirun or srun started. The first speaks for all; an error in any of them ends all,
/// and is told once.
/// </summary>
internal static class SharedJob
{
    // What fails in all processes for the same reason is told by the first, which ends the job. The others give it time on a busy
    // machine, and each other less: there may be many, and an error may be the last one's alone.
    private static readonly TimeSpan Precedence = TimeSpan.FromSeconds(1), Distance = TimeSpan.FromMilliseconds(100);

    public static int Run(MpiLaunch launch, string[] args, Interruption interruption)
    {
        interruption.IsSilent = launch.Rank > 0;
        // What the others say is kept, for the case that one of them fails.
        using var said = new StringWriter();
        MpiCommunicator ranks;
        try
        {
            ranks = MpiCommunicator.Join(launch);
        }
        catch (IOException e)
        {
            said.WriteLine($"error: {Terminal.OneLine(e.Message)}");
            Tell(said, launch);
            return ExitCode.Failure;
        }
        int exitCode;
        bool inGoodOrder = false;
        Terminal terminal = TerminalOf(ranks, said, interruption.Token) with
        {
            EndsInGoodOrder = () =>
            {
                inGoodOrder = true;
                interruption.BePatient();
            },
        };
        // Of the first, which speaks for all, the second can tell.
        if (launch.Rank < 2) ranks.Warn = launch.Rank == 0 ? terminal.Warn : message => Console.Error.WriteLine($"warning: {message}");
        try
        {
            exitCode = CommandLine.Run(args, terminal);
        }
        catch (Exception e)
        {
            // A defect, with all that helps to find it.
            said.WriteLine($"error: {e}");
            exitCode = ExitCode.Failure;
        }
        switch (exitCode)
        {
            case ExitCode.Success:
            case ExitCode.Interrupted when inGoodOrder:
                ranks.Dispose();
                break;
            case ExitCode.Interrupted:
                // Whoever interrupts one process interrupts all, and mpirun ends those that are left.
                break;
            default:
                Tell(said, launch);
                ranks.Abort(exitCode);
                break;
        }
        return exitCode;
    }

    private static Terminal TerminalOf(MpiCommunicator ranks, StringWriter said, CancellationToken cancellation) => ranks.Rank > 0
        ? new Terminal(TextWriter.Null, TextWriter.Synchronized(said), DrawsProgress: false, cancellation, ranks)
        : new Terminal(Console.Out, Console.Error, DrawsProgress: !Console.IsErrorRedirected, cancellation, ranks);

    private static void Tell(StringWriter said, MpiLaunch launch)
    {
        if (launch.Rank > 0) Thread.Sleep(Precedence + (launch.Rank - 1) * Distance);
        string text = said.ToString();
        int error = text.LastIndexOf("error: ", StringComparison.Ordinal);
        if (error >= 0) Console.Error.WriteLine($"process {launch.Rank} of {launch.Size}: {text[error..].TrimEnd()}");
    }
}
