using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Reflection;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Verbs;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Findings;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli;

/// <summary>The command: parses arguments, runs a verb, turns failures into one line and an exit code.</summary>
internal static class CommandLine
{
    /// <summary>Name and version, as <c>--version</c> prints them.</summary>
    public static string Version { get; } =
        $"rawdiffusion {typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion}";

    public const string InterruptedMessage = "interrupted: nothing was written";

    /// <summary>Runs the command; can be called again and again in one process.</summary>
    /// <returns>The exit code.</returns>
    public static int Run(string[] args, Terminal terminal)
    {
        try
        {
            (Option<bool> quiet, Option<bool> verbose) = (OptionOf.Flag("--quiet", "Say nothing on standard error but warnings and errors"),
                OptionOf.Flag("--verbose", "Say more on standard error: what was found in files, where it is computed"));
            (quiet.Recursive, verbose.Recursive) = (true, true);
            RootCommand root = Root(terminal);
            root.Options.Add(quiet);
            root.Options.Add(verbose);
            ParseResult result = root.Parse(args.Length > 0 ? args : ["--help"]);
            if (result is { Errors.Count: > 0, Action: ParseErrorAction }) return Fail(terminal, Describe(result), ExitCode.Usage);
            if (result.GetValue(quiet) && result.GetValue(verbose))
                return Fail(terminal, "give either --quiet or --verbose, not both", ExitCode.Usage);
            terminal.Verbosity = result.GetValue(quiet) ? Verbosity.Quiet : result.GetValue(verbose) ? Verbosity.Verbose : Verbosity.Normal;
            if (!terminal.IsFirst && result.CommandResult.Command is not VerbCommand { IsShared: true }) return ExitCode.Success;
            int exitCode = result.Invoke(new InvocationConfiguration
            {
                Output = terminal.Out,
                Error = terminal.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
            return args.Length > 0 ? exitCode : ExitCode.Usage; // without a verb there is help, but nothing was done
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
        catch (OutputClosedException)
        {
            return ExitCode.OutputClosed;
        }
        catch (OutOfMemoryException e)
        {
            bool ofHeap = e is not HostMemoryException;
            string what = ofHeap ? $"there is no memory beside the {HostMemory.Text(GC.GetTotalMemory(false))} of .NET's heap and "
                + $"{HostMemory.Text(ProcessMemory.Peak())} in all that were in use" : e.Message;
            return Fail(terminal, $"{what}: {HostMemory.Limit(ofHeap)}; raise that limit, or use a smaller batch or model",
                ExitCode.Failure);
        }
        catch (Exception e) when (
            e is FileFormatException or CheckpointException or IOException or UnauthorizedAccessException or PlatformNotSupportedException
            or CudaException or KernelCompileException or EmulatorException or TrainingException)
        {
            return Fail(terminal, e.Message, ExitCode.Failure);
        }
    }

    private static RootCommand Root(Terminal terminal)
    {
        var root = new RootCommand("Compositional image diffusion: decomposes images into factors and recombines them.")
        {
            Decompose.Create(terminal),
            Recombine.Create(terminal),
            Train.Create(terminal),
            Import.Create(terminal),
            Evaluate.Create(terminal),
            Bench.Create(terminal),
            Profile.Create(terminal),
            Verbs.Check.Create(terminal),
            Dataset.Create(terminal),
            Doctor.Create(terminal),
        };
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExample((HelpAction)help.Action!);
        root.Options.OfType<VersionOption>().Single().Action = new PrintVersion();
        return root;
    }

    private static string Describe(ParseResult result)
    {
        Command command = result.CommandResult.Command;
        string path = string.Join(" ", command.Parents.OfType<VerbCommand>().Append(command).Select(c => c.Name));
        if (command is not RootCommand) return $"{result.Errors[0].Message.TrimEnd('.')} (see rawdiffusion {path} --help)";
        string found = result.UnmatchedTokens.Count > 0 ? $"'{result.UnmatchedTokens[0]}'" : "none";
        return $"expected a verb ({string.Join(", ", command.Subcommands.Select(c => c.Name))}), found {found}";
    }

    private static int Fail(Terminal terminal, string message, int exitCode)
    {
        terminal.Error.WriteLine($"error: {Terminal.OneLine(message)}");
        return exitCode;
    }
}
