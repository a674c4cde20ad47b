using System.Diagnostics;
using System.Text.Json;

namespace RawDiffusion.Cli.Tests;

/// <summary>What a run of the command left behind.</summary>
internal sealed record Outcome(int ExitCode, string Out, string Error)
{
    public JsonElement Json => JsonDocument.Parse(Out).RootElement;

    /// <summary>The run succeeded.</summary>
    public Outcome Succeeded()
    {
        Assert.That(ExitCode, Is.Zero, Error);
        return this;
    }

    /// <summary>The run failed with exactly one line on standard error, which holds the parts.</summary>
    public void Failed(int exitCode, params string[] parts)
    {
        Assert.That(ExitCode, Is.EqualTo(exitCode), Error);
        string[] errors = [.. Error.Split('\n').Where(l => l.StartsWith("error: ", StringComparison.Ordinal))];
        Assert.That(errors, Has.Length.EqualTo(1), Error);
        Assert.That(Error.TrimEnd(), Does.EndWith(errors[0].TrimEnd()), "the error is the last line");
        Assert.That(Out, Is.Empty);
        foreach (string part in parts) Assert.That(errors[0], Does.Contain(part));
    }
}

/// <summary>Runs the command, in this process or as one of its own.</summary>
internal static class Rawdiffusion
{
    /// <summary>Runs in this process.</summary>
    public static Outcome Run(params string[] args)
    {
        (StringWriter output, StringWriter error) = (new(), new());
        int exitCode = CommandLine.Run(args, new Terminal(output, error, DrawsProgress: false, CancellationToken.None));
        return new Outcome(exitCode, output.ToString(), error.ToString());
    }

    /// <summary>Starts the built command as a process.</summary>
    public static Process Start(params string[] args) => Start(args, []);

    /// <summary>Runs the built command as a process.</summary>
    public static Outcome RunProcess(params string[] args) => RunProcess(args, []);

    /// <summary>Runs the built command as a process with other environment variables.</summary>
    public static Outcome RunProcess(string[] args, params (string Name, string Value)[] environment)
    {
        using Process process = Start(args, environment);
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new Outcome(process.ExitCode, output, error.Result);
    }

    private static Process Start(string[] args, (string Name, string Value)[] environment)
    {
        // A process that was started in the background inherits an ignored SIGINT, and so would ours: it is undone.
        var info = new ProcessStartInfo(OperatingSystem.IsLinux() ? "env" : "dotnet")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true
        };
        if (OperatingSystem.IsLinux()) foreach (string arg in new[] { "--default-signal=INT", "dotnet" }) info.ArgumentList.Add(arg);
        foreach ((string name, string value) in environment) info.Environment[name] = value;
        foreach (string arg in args.Prepend(Path.Combine(AppContext.BaseDirectory, "rawdiffusion.dll"))) info.ArgumentList.Add(arg);
        return Process.Start(info)!;
    }
}
