using System.CommandLine;
using System.CommandLine.Invocation;
using RawDiffusion.Cli.Verbs;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli;

/// <summary>The command: parses arguments, runs a verb, turns failures into one line and an exit code.</summary>
internal static class CommandLine
{
    public const string InterruptedMessage = "interrupted: nothing was written";

    /// <summary>Runs the command; can be called again and again in one process.</summary>
    /// <returns>The exit code.</returns>
    public static int Run(string[] args, Terminal terminal)
    {
        try
        {
            RootCommand root = Root(terminal);
            if (args.Length == 0) args = ["--help"];
            ParseResult result = root.Parse(args);
            if (result is { Errors.Count: > 0, Action: ParseErrorAction })
            {
                string verb = result.CommandResult.Command is RootCommand ? "" : $" {result.CommandResult.Command.Name}";
                return Fail(terminal, $"{result.Errors[0].Message.TrimEnd('.')} (see rawdiffusion{verb} --help)", ExitCode.Usage);
            }
            return result.Invoke(new InvocationConfiguration
            {
                Output = terminal.Out,
                Error = terminal.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
        }
        catch (OperationCanceledException) when (terminal.Cancellation.IsCancellationRequested)
        {
            terminal.Error.WriteLine(InterruptedMessage);
            return ExitCode.Interrupted;
        }
        catch (CommandException e)
        {
            return Fail(terminal, e.Message, e.ExitCode);
        }
        catch (OutOfMemoryException)
        {
            return Fail(terminal, "the system has not enough memory for this; use a smaller batch or model", ExitCode.Failure);
        }
        catch (Exception e) when (e is FileFormatException or CheckpointException or IOException or UnauthorizedAccessException or PlatformNotSupportedException)
        {
            return Fail(terminal, e.Message, ExitCode.Failure);
        }
    }

    private static RootCommand Root(Terminal terminal) => new(
        """
        Compositional image diffusion: decomposes images into factors and recombines them.

        Example:
          rawdiffusion decompose --checkpoint clevr_model.pt --image scene.png --out results
        """)
    {
        Decompose.Create(terminal),
        Bench.Create(terminal),
    };

    private static int Fail(Terminal terminal, string message, int exitCode)
    {
        terminal.Error.WriteLine($"error: {Terminal.OneLine(message)}");
        return exitCode;
    }
}
