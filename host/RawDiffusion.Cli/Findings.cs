using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using RawDiffusion.Mpi;

namespace RawDiffusion.Cli;

/// <summary>One line of <c>doctor</c>.</summary>
internal sealed record Finding(string Name, string Text);

/// <summary>What <c>doctor</c> looks for.</summary>
internal static class Findings
{
    public static IEnumerable<Finding> Machine()
    {
        yield return new("system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}");
        yield return new("runtime", RuntimeInformation.FrameworkDescription);
        yield return new("processors", $"{Environment.ProcessorCount}");
        yield return new("SIMD", string.Join(", ", Simd()));
        yield return new("memory",
            string.Create(CultureInfo.InvariantCulture, $"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 1073741824.0:0.0} GiB"));
    }

    /// <summary>The library of several processes, and whether this is one.</summary>
    public static Finding Mpi(Terminal terminal)
    {
        MpiLibrary library = MpiLibrary.Current;
        string ranks = terminal.Ranks is { } all ? $"process {all.Rank} of {all.Size}" : "one process; mpirun starts several";
        return new("MPI", library.IsFound ? $"{library.Kind}, {library.FoundAt}; {ranks}" : library.Missing);
    }

    public static IEnumerable<Finding> Weights()
    {
        yield return new("default model", DefaultFiles.Find(DefaultFiles.ModelName)
            ?? $"none in or above {AppContext.BaseDirectory}: give --checkpoint");
        yield return new("sample image", DefaultFiles.Find(DefaultFiles.ImageName)
            ?? $"none in or above {AppContext.BaseDirectory}: give --image");
    }

    private static IEnumerable<string> Simd()
    {
        if (Avx512F.IsSupported) yield return "AVX-512";
        if (Avx2.IsSupported) yield return "AVX2";
        if (Fma.IsSupported) yield return "FMA";
        yield return Vector128.IsHardwareAccelerated ? "128-bit vectors" : "no vectors: everything will be slow";
    }
}
