using System.Collections.Concurrent;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>Appends every variant that a process asks for to a file, from which the prebuilt kernels can be refilled.</summary>
/// <param name="path">Lines as in <see cref="KernelList"/>; several processes may append to the same file.</param>
public sealed class KernelRecorder(string path)
{
    /// <summary>The environment variable that names the file.</summary>
    public const string PathVariable = "RAWDIFFUSION_KERNEL_LIST";

    private readonly ConcurrentDictionary<string, bool> seen = new();
    private readonly Lock append = new();

    /// <summary>The recorder that <see cref="PathVariable"/> asks for; null if it is not set.</summary>
    public static KernelRecorder? OfEnvironment { get; } = Environment.GetEnvironmentVariable(PathVariable) is { Length: > 0 } path
        ? new(path) : null;

    /// <exception cref="IOException">The file cannot be written: somebody asked for the list and would miss it.</exception>
    internal void Add(KernelVariant variant, string target)
    {
        string line = KernelList.LineOf(variant, target);
        if (!seen.TryAdd(line, true)) return;
        lock (append) File.AppendAllText(path, line + "\n");
    }
}
