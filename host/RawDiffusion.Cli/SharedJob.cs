using RawDiffusion.Mpi;

namespace RawDiffusion.Cli;

/// <summary>
/// The command as one of several processes that mpirun or srun started. The first speaks for all; an error in any of them ends all,
/// and is told once.
/// </summary>
internal static class SharedJob
{
    // What fails in all processes for the same reason is told by the first that ends the job; the others wait so much longer.
    private static readonly TimeSpan Precedence = TimeSpan.FromMilliseconds(500);

    public static int Run(MpiLaunch launch, string[] args, Terminal terminal, Interruption interruption)
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
            Tell(said, launch, terminal);
            return ExitCode.Failure;
        }
        terminal = terminal with { Ranks = ranks };
        if (launch.Rank > 0) terminal = terminal with { Out = TextWriter.Null, Error = TextWriter.Synchronized(said), DrawsProgress = false };
        int exitCode;
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
        if (exitCode == ExitCode.Success)
        {
            ranks.Dispose();
            return exitCode;
        }
        if (exitCode != ExitCode.Interrupted) Tell(said, launch, terminal with { Error = Console.Error });
        ranks.Abort(exitCode);
        return exitCode;
    }

    private static void Tell(StringWriter said, MpiLaunch launch, Terminal terminal)
    {
        Thread.Sleep(launch.Rank * Precedence);
        string text = said.ToString();
        int error = text.LastIndexOf("error: ", StringComparison.Ordinal);
        if (error >= 0) terminal.Error.WriteLine($"process {launch.Rank} of {launch.Size}: {text[error..].TrimEnd()}");
        terminal.Error.Flush();
    }
}
