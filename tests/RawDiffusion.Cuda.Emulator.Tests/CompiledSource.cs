using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Emulator.Tests;

/// <summary>
/// The PTX of the kernels that these tests bring along. It lies beside them in Compiled/, so that they run without NVRTC. Where there is
/// the
/// NVRTC that made the files, each is compared with what the source gives now; a file that is missing or old is written anew and the test
/// fails once.
/// </summary>
internal static class CompiledSource
{
    private const string FilesAreOf = "11.8";

    public static string Ptx(string source)
    {
        // A checkout on Windows may have other line ends: the same kernel.
        source = source.ReplaceLineEndings("\n");
        string kernel = Regex.Match(source, @"__global__ void (\w+)").Groups[1].Value;
        string hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(source)))[..8];
        string path = Path.Combine(Folder(), "Compiled", $"{kernel}-{hash}.ptx");
        string? stored = File.Exists(path) ? File.ReadAllText(path).ReplaceLineEndings("\n") : null;
        if (Nvrtc.Find() is not { } nvrtc)
        {
            return stored ?? throw new FileNotFoundException(
                $"The kernel has changed: run the test once with NVRTC {FilesAreOf}, which writes {path}.");
        }

        var sources = new KernelSources(new Dictionary<string, string> { ["test.cu"] = source });
        string ptx = Encoding.UTF8.GetString(new KernelCompiler(sources, nvrtc).Compile(new("test.cu", kernel, []), "compute_80"))
            .TrimEnd('\0');
        if (nvrtc.Version == FilesAreOf && ptx != stored)
        {
            File.WriteAllText(path, ptx);
            Assert.Fail($"{path} was {(stored is null ? "missing" : "old")} and is written now: commit it, and delete the file of the "
                + "old source.");
        }

        return ptx;
    }

    private static string Folder([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
