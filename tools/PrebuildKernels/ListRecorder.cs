using RawDiffusion.Cuda.Compilation;

namespace PrebuildKernels;

/// <summary>A compiler that compiles nothing and lists what it was asked for.</summary>
internal sealed class ListRecorder(KernelList list) : IKernelCompiler
{
    public bool CanCompile => false;

    public byte[] Compile(KernelVariant variant, string target)
    {
        lock (list) list.Add(variant, target);
        return [];
    }
}
