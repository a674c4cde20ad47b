namespace RawDiffusion.Cuda.Compilation;

/// <summary>A compiler that compiles nothing and lists what it was asked for. Thread-safe.</summary>
/// <param name="list">Where to.</param>
public sealed class KernelLister(KernelList list) : IKernelCompiler
{
    /// <inheritdoc/>
    public bool CanCompile => false;

    /// <inheritdoc/>
    public byte[] Compile(KernelVariant variant, string target)
    {
        lock (list) list.Add(variant, target);
        return [];
    }
}
