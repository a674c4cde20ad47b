using System.Text;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>NVIDIA's run-time compiler: CUDA C++ to PTX or machine code, with or without a GPU. Thread-safe.</summary>
public sealed partial class Nvrtc
{
    // NVRTC_ERROR_COMPILATION: the source is at fault, and the log says how.
    private const int CompilationError = 6;

    // The compiler recurses over expressions; threads of the pool have a stack of 1.5 MB, a compiler's main thread has 8.
    private const int StackBytes = 64 << 20;

    private static readonly Lazy<Nvrtc?> Found = new(() => NativeLibraryFile.Nvrtc.IsFound ? new Nvrtc() : null);

    private Nvrtc()
    {
        int result = nvrtcVersion(out int major, out int minor);
        if (result != 0)
        {
            throw new KernelCompileException(
                $"nvrtcVersion -> {ErrorText(result)}; {NativeLibraryFile.Nvrtc.FoundAt} is damaged: install the CUDA toolkit again");
        }
        Version = $"{major}.{minor}";
        Check(nvrtcGetNumSupportedArchs(out int count), "nvrtcGetNumSupportedArchs");
        int[] architectures = new int[count];
        Check(nvrtcGetSupportedArchs(architectures), "nvrtcGetSupportedArchs");
        Architectures = architectures;
    }

    /// <summary>Version of the compiler: <c>11.8</c>.</summary>
    public string Version { get; }

    /// <summary>Compute capabilities that it compiles for, rising: 80 for 8.0.</summary>
    public IReadOnlyList<int> Architectures { get; }

    /// <summary>
    /// The compiler of this machine; null where there is none, and <see cref="NativeLibraryFile.Nvrtc"/> says what was tried.
    /// </summary>
    /// <exception cref="KernelCompileException">There is one, and it does not work.</exception>
    public static Nvrtc? Find() => Found.Value;

    /// <summary>Compiles one source.</summary>
    /// <param name="source">Content of the source file.</param>
    /// <param name="name">Its name, as it appears in the log and in line information.</param>
    /// <param name="headers">Names and contents of what it includes, directly or not.</param>
    /// <param name="target"><c>compute_80</c> for PTX text (not zero-terminated), <c>sm_80</c> for machine code (an ELF file).</param>
    /// <param name="options">Options besides <c>-arch</c>.</param>
    /// <param name="log">Errors and warnings; empty when there are none.</param>
    /// <returns>The compiled program; null if the compiler refused, and then the log says why.</returns>
    internal byte[]? Compile(string source, string name,
        IReadOnlyList<(string Name, string Content)> headers, string target, IEnumerable<string> options, out string log)
    {
        (byte[]? image, string text, Exception? failure) = (null, "", null);
        var thread = new Thread(() =>
        {
            try
            {
                image = CompileHere(source, name, headers, target, [$"-arch={target}", .. options], out text);
            }
            catch (Exception exception)
            {
                failure = exception;
            }
        }, StackBytes);
        thread.Start();
        thread.Join();
        if (failure is not null) throw failure;
        log = text;
        return image;
    }

    private static byte[]? CompileHere(
        string source, string name, IReadOnlyList<(string Name, string Content)> headers, string target, string[] options, out string log)
    {
        string[] contents = [.. headers.Select(h => h.Content)], names = [.. headers.Select(h => h.Name)];
        Check(nvrtcCreateProgram(out nint program, source, name, headers.Count, contents, names), "nvrtcCreateProgram");
        try
        {
            int result = nvrtcCompileProgram(program, options.Length, options);
            log = Log(program);
            if (result == CompilationError) return null;
            Check(result, "nvrtcCompileProgram", $"options {string.Join(" ", options)}\n{log}");
            return target.StartsWith("sm_", StringComparison.Ordinal) ? Cubin(program) : Ptx(program);
        }
        finally
        {
            Check(nvrtcDestroyProgram(ref program), "nvrtcDestroyProgram");
        }
    }

    private static string Log(nint program)
    {
        Check(nvrtcGetProgramLogSize(program, out nuint size), "nvrtcGetProgramLogSize");
        byte[] log = new byte[size];
        Check(nvrtcGetProgramLog(program, log), "nvrtcGetProgramLog");
        return Encoding.UTF8.GetString(log).TrimEnd('\0', '\n');
    }

    private static byte[] Cubin(nint program)
    {
        Check(nvrtcGetCUBINSize(program, out nuint size), "nvrtcGetCUBINSize");
        byte[] image = new byte[size];
        Check(nvrtcGetCUBIN(program, image), "nvrtcGetCUBIN");
        return image;
    }

    private static byte[] Ptx(nint program)
    {
        Check(nvrtcGetPTXSize(program, out nuint size), "nvrtcGetPTXSize");
        byte[] text = new byte[size];
        Check(nvrtcGetPTX(program, text), "nvrtcGetPTX");
        return text.AsSpan().TrimEnd((byte)0).ToArray();
    }

    private static void Check(int result, string call, string details = "")
    {
        if (result != 0) throw new KernelCompileException($"{call} -> {ErrorText(result)}{(details.Length > 0 ? "; " + details : "")}");
    }
}
