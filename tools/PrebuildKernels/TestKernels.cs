using System.Diagnostics;
using RawDiffusion.Cuda.Compilation;

namespace PrebuildKernels;

/// <summary>The kernels that tests ask for, found by running them.</summary>
internal static class TestKernels
{
    /// <summary>The projects whose tests run kernels.</summary>
    public static IReadOnlyList<string> Suites { get; } =
        [.. new[] { "Engine", "Cuda", "Diffusion", "Cli", "Mpi" }.Select(name => $"tests/RawDiffusion.{name}.Tests")];

    /// <summary>Adds the kernels of a project's tests.</summary>
    /// <param name="list">Where to.</param>
    /// <param name="suite">The project's folder.</param>
    /// <param name="target">What the kernels are for; what is asked for other targets is of tests of the compiler.</param>
    /// <returns>How many there are.</returns>
    public static int Add(KernelList list, string suite, KernelTarget target)
    {
        int before = list.Entries.Count();
        string recorded = Path.GetTempFileName();
        try
        {
            var start = new ProcessStartInfo("dotnet", ["test", "-c", "Release", suite]);
            start.Environment[KernelRecorder.PathVariable] = recorded;
            using Process tests = Process.Start(start)!;
            tests.WaitForExit();
            // The old file does not hold what the sources are now, and a test says so: that is what this run is for.
            if (tests.ExitCode != 0) Console.Error.WriteLine($"not all tests of {suite} passed; run them again with the new file");
            foreach ((KernelVariant variant, string wanted) in new KernelList(File.ReadLines(recorded)).Entries)
            {
                if (wanted == target.ToString() && KernelSources.Embedded.Names.Contains(variant.File)) list.Add(variant, wanted);
            }
        }
        finally
        {
            File.Delete(recorded);
        }
        return list.Entries.Count() - before;
    }
}
