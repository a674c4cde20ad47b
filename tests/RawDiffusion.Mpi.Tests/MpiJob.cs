using System.Diagnostics;

namespace RawDiffusion.Mpi.Tests;

/// <summary>What a job left behind.</summary>
internal sealed record JobOutcome(int ExitCode, string Out, string Error)
{
    public JobOutcome Succeeded()
    {
        Assert.That(ExitCode, Is.Zero, Error);
        return this;
    }
}

/// <summary>Starts processes with the system's mpirun.</summary>
internal static class MpiJob
{
    private static readonly Lazy<string?> Version = new(() =>
    {
        try
        {
            using Process process = Process.Start(
                new ProcessStartInfo("mpirun", "--version") { RedirectStandardOutput = true, RedirectStandardError = true })!;
            string text = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return text;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    });

    /// <summary>Ignores the test where there is no mpirun.</summary>
    public static void Require()
    {
        if (Version.Value is null) Assert.Ignore("there is no mpirun here: apt install openmpi-bin");
        if (!MpiLibrary.Current.IsFound) Assert.Ignore(MpiLibrary.Current.Missing);
    }

    /// <summary>The arguments that start so many processes of an assembly in this folder.</summary>
    public static string[] Processes(int count, string assembly, params string[] args) =>
        ["-n", $"{count}", "dotnet", Path.Combine(AppContext.BaseDirectory, assembly), .. args];

    /// <summary>Starts mpirun.</summary>
    public static Process Start(params string[] args)
    {
        var info = new ProcessStartInfo("mpirun") { RedirectStandardOutput = true, RedirectStandardError = true };
        // Tests run as root in containers, and on fewer cores than there are processes; MPICH's mpirun asks for nothing.
        string[] common = Version.Value!.Contains("Open MPI") || Version.Value.Contains("Open RTE")
            ? ["--allow-run-as-root", "--oversubscribe"] : [];
        foreach (string arg in common.Concat(args)) info.ArgumentList.Add(arg);
        return Process.Start(info)!;
    }

    /// <summary>Waits for a job.</summary>
    public static JobOutcome Finish(Process process)
    {
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new JobOutcome(process.ExitCode, output, error.Result);
    }

    /// <summary>Runs a job to its end.</summary>
    public static JobOutcome Run(params string[] args)
    {
        using Process process = Start(args);
        return Finish(process);
    }
}
