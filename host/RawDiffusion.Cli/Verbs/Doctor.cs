using System.CommandLine;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;

namespace RawDiffusion.Cli.Verbs;

/// <summary>What was found on this machine, and what to do about what is missing.</summary>
internal sealed class Doctor(Terminal terminal)
{
    private readonly DeviceOptions deviceOptions = new();

    public static Command Create(Terminal terminal)
    {
        var verb = new Doctor(terminal);
        var command = new VerbCommand("doctor",
            "Says what was found on this machine, and what to do about what is missing.",
            "rawdiffusion doctor");
        verb.deviceOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        string device;
        using (Engine.IDevice opened = deviceOptions.Open(result, terminal)) device = opened.Description;
        IReadOnlyList<Finding> findings = [.. Findings.Machine(), .. GpuFindings.All(), Findings.Mpi(terminal), .. Findings.Weights(),
            new("device", device)];
        if (deviceOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                foreach (Finding finding in findings) json.WriteString(finding.Name.Replace(' ', '_').ToLowerInvariant(), finding.Text);
            });
            return ExitCode.Success;
        }
        foreach (Finding finding in findings) terminal.Out.WriteLine($"{finding.Name,-18}{finding.Text}");
        return ExitCode.Success;
    }
}
