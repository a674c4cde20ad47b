using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>A variant with all that decides its compiled form but the target and the compiler.</summary>
internal sealed partial class KernelProgram
{
    // Part of every key: what an older release left in a user's cache is not found by a newer one that keeps it differently.
    private const string Format = "rawdiffusion kernel 1";

    // No fast-math for all: a kernel that can afford it says so with intrinsics, where the reader sees it.
    private static readonly string[] CommonOptions = ["-std=c++17"];

    // Whoever executes PTX can name the source line of a finding. Machine code would carry its whole PTX along with the line
    // information, which makes it twice to three times as large.
    private static readonly string[] PtxOptions = [.. CommonOptions, "-lineinfo"];

    private readonly KernelVariant variant;
    private readonly string source;
    private readonly IReadOnlyList<(string Name, string Content)> headers;
    private readonly string[] macros;

    /// <exception cref="KernelCompileException">The variant's file, or one that it includes, does not exist.</exception>
    public KernelProgram(KernelSources sources, KernelVariant variant)
    {
        this.variant = variant;
        source = sources[variant.File];
        headers = sources.Headers(variant.File);
        macros = [$"-D{Selector}=1", .. variant.Defines.Select(d => $"-D{d.Name}={d.Value}")];
    }

    /// <summary>The macro that selects the kernel within its file.</summary>
    private string Selector => variant.Kernel.ToUpper(CultureInfo.InvariantCulture);

    /// <summary>
    /// What names the compiled form in every cache: the first 128 bits, in hexadecimal digits, of the SHA-256 of source,
    /// headers, options (which hold the macros), kernel, target and the compiler's version.
    /// </summary>
    public string Key(KernelTarget target, string compilerVersion)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        string[] fields = [Format, compilerVersion, target.ToString(), variant.File, variant.Kernel, source,
            .. headers.SelectMany(h => new[] { h.Name, h.Content }), .. Options(target)];
        foreach (string field in fields)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(field);
            hash.AppendData(BitConverter.GetBytes(bytes.Length)); // lengths keep neighbours apart
            hash.AppendData(bytes);
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 16));
    }

    /// <summary>Compiles.</summary>
    /// <exception cref="KernelCompileException">The compiler refused, or the result does not hold the kernel.</exception>
    public byte[] Compile(Nvrtc nvrtc, KernelTarget target)
    {
        byte[] image = nvrtc.Compile(source, variant.File, headers, target.ToString(), Options(target), out string log)
            ?? throw new KernelCompileException($"{variant.File}: {variant} for {target} does not compile (NVRTC {nvrtc.Version}):\n{log}");
        if (!Holds(image, variant.Kernel))
        {
            throw new KernelCompileException($"{variant.File}: {variant} compiles, but the result holds no kernel '{variant.Kernel}'; "
                + $"declare it extern \"C\" __global__ between #ifdef {Selector} and #endif");
        }

        return target.IsMachineCode ? image : WithoutFolders(image);
    }

    /// <summary>
    /// PTX that names its source files without folders: NVRTC puts the working folder before them, and the same kernel would have other
    /// bytes elsewhere.
    /// </summary>
    internal static byte[] WithoutFolders(byte[] ptx) =>
        Encoding.Latin1.GetBytes(FileFolder().Replace(Encoding.Latin1.GetString(ptx), "$1"));

    [GeneratedRegex("""(\.file\s+\d+ ")[^"\n]*[/\\](?=[^"/\\\n]+")""")]
    private static partial Regex FileFolder();

    private string[] Options(KernelTarget target) => [.. target.IsMachineCode ? CommonOptions : PtxOptions, .. macros];

    // PTX declares ".entry name(", machine code has a section ".text.name".
    private static bool Holds(ReadOnlySpan<byte> image, string kernel) =>
        image.IndexOf(Encoding.UTF8.GetBytes($".entry {kernel}(")) >= 0 || image.IndexOf(Encoding.UTF8.GetBytes($".text.{kernel}\0")) >= 0;
}
