using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace RawDiffusion.Cli;

/// <summary>A verb, with a line that shows how it is used.</summary>
internal sealed class VerbCommand(string name, string description, string example) : Command(name, description)
{
    public string Example { get; } = example;

    /// <summary>Whether processes that mpirun starts share the work; else the first does it alone.</summary>
    public bool IsShared { get; init; }
}

/// <summary>Prints the command's name and version.</summary>
internal sealed class PrintVersion : SynchronousCommandLineAction
{
    public override int Invoke(ParseResult parseResult)
    {
        parseResult.InvocationConfiguration.Output.WriteLine(CommandLine.Version);
        return ExitCode.Success;
    }
}

/// <summary>Help that ends with the verb's example.</summary>
internal sealed class HelpWithExample(HelpAction help) : SynchronousCommandLineAction
{
    /// <summary>Help may be asked for with a command line that is not complete.</summary>
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        int exitCode = help.Invoke(parseResult);
        string example = parseResult.CommandResult.Command is VerbCommand verb ? verb.Example
            : "rawdiffusion decompose --checkpoint clevr_model.pt --image scene.png --out results";
        TextWriter output = parseResult.InvocationConfiguration.Output;
        output.WriteLine("Example:");
        output.WriteLine($"  {example}");
        return exitCode;
    }
}
