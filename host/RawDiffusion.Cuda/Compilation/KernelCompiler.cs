using System.Globalization;
using System.Text;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>Compiles kernels with NVRTC. Thread-safe: several threads may compile at once.</summary>
/// <param name="sources">Where the kernels' files are.</param>
/// <param name="nvrtc">The compiler.</param>
public sealed class KernelCompiler(KernelSources sources, Nvrtc? nvrtc) : IKernelCompiler
{
    // No fast-math for all: a kernel that can afford it says so with intrinsics, where the reader sees it.
    private static readonly string[] CommonOptions = ["-std=c++17", "-lineinfo"];

    /// <summary>Compiles the kernels that travel in this assembly, with the compiler of this machine.</summary>
    public KernelCompiler() : this(KernelSources.Embedded, Nvrtc.Find()) { }

    /// <inheritdoc/>
    public bool CanCompile => nvrtc is not null;

    /// <inheritdoc/>
    public byte[] Compile(KernelVariant variant, string target)
    {
        if (nvrtc is null) throw new KernelCompileException($"{variant} cannot be compiled: {Native.NativeLibraryFile.Nvrtc.Missing}");
        string source = sources[variant.File];
        string able = KernelTarget.Parse(target).For(nvrtc.Architectures).ToString();
        byte[] image = nvrtc.Compile(source, variant.File, sources.Headers(variant.File), able, Options(variant), out string log)
            ?? throw new KernelCompileException($"{variant.File}: {variant} for {able} does not compile (NVRTC {nvrtc.Version}):\n{log}");
        if (!Holds(image, variant.Kernel))
            throw new KernelCompileException($"{variant.File}: {variant} compiles, but the result holds no kernel '{variant.Kernel}'; "
                + $"declare it extern \"C\" __global__ between #ifdef {Selector(variant.Kernel)} and #endif");
        return image;
    }

    private static IEnumerable<string> Options(KernelVariant variant) =>
        [.. CommonOptions, $"-D{Selector(variant.Kernel)}=1", .. variant.Defines.Select(d => $"-D{d.Name}={d.Value}")];

    /// <summary>The macro that selects a kernel within its file.</summary>
    private static string Selector(string kernel) => kernel.ToUpper(CultureInfo.InvariantCulture);

    // PTX declares ".entry name(", machine code has a section ".text.name".
    private static bool Holds(ReadOnlySpan<byte> image, string kernel) =>
        image.IndexOf(Encoding.UTF8.GetBytes($".entry {kernel}(")) >= 0 || image.IndexOf(Encoding.UTF8.GetBytes($".text.{kernel}\0")) >= 0;
}
