using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Compilation;

// The functions of NVRTC that are used; 11.2, 12.x and 13.x export all of them. Each returns an nvrtcResult, 0 on success.
public sealed partial class Nvrtc
{
    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcVersion(out int major, out int minor);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetNumSupportedArchs(out int count);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetSupportedArchs([Out] int[] architectures);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial nint nvrtcGetErrorString(int result);

    private static string ErrorText(int result) => Marshal.PtrToStringUTF8(nvrtcGetErrorString(result)) ?? $"error {result}";

    [LibraryImport(NativeLibraryFile.NvrtcImport, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int nvrtcCreateProgram(
        out nint program, string source, string name, int headers, string[] contents, string[] includeNames);

    [LibraryImport(NativeLibraryFile.NvrtcImport, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int nvrtcCompileProgram(nint program, int count, string[] options);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetProgramLogSize(nint program, out nuint size);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetProgramLog(nint program, [Out] byte[] log);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetPTXSize(nint program, out nuint size);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetPTX(nint program, [Out] byte[] text);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetCUBINSize(nint program, out nuint size);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcGetCUBIN(nint program, [Out] byte[] image);

    [LibraryImport(NativeLibraryFile.NvrtcImport)]
    private static partial int nvrtcDestroyProgram(ref nint program);
}
