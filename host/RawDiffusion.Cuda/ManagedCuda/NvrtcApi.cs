using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;
using ManagedCuda.NVRTC;

namespace RawDiffusion.Cuda.Compilation;

// The functions of NvrtcImports through ManagedCuda's declarations, which want arrays of pointers to text.
public sealed partial class Nvrtc
{
    private static int nvrtcVersion(out int major, out int minor)
    {
        (major, minor) = (0, 0);
        return (int)NVRTCNativeMethods.nvrtcVersion(ref major, ref minor);
    }

    private static int nvrtcGetNumSupportedArchs(out int count)
    {
        count = 0;
        return (int)NVRTCNativeMethods.nvrtcGetNumSupportedArchs(ref count);
    }

    private static int nvrtcGetSupportedArchs(int[] architectures) => (int)NVRTCNativeMethods.nvrtcGetSupportedArchs(architectures);

    private static string ErrorText(int result) => NVRTCNativeMethods.nvrtcGetErrorString((nvrtcResult)result);

    private static int nvrtcCreateProgram(
        out nint program, string source, string name, int headers, string[] contents, string[] includeNames)
    {
        nint[] contentTexts = Array.ConvertAll(contents, Marshal.StringToCoTaskMemUTF8), nameTexts = Array.ConvertAll(
            includeNames, Marshal.StringToCoTaskMemUTF8);
        try
        {
            var created = new nvrtcProgram();
            int result = (int)NVRTCNativeMethods.nvrtcCreateProgram(ref created, source, name, headers, contentTexts, nameTexts);
            program = created.Pointer;
            return result;
        }
        finally
        {
            foreach (nint text in contentTexts.Concat(nameTexts)) Marshal.FreeCoTaskMem(text);
        }
    }

    private static int nvrtcCompileProgram(nint program, int count, string[] options)
    {
        nint[] texts = Array.ConvertAll(options, Marshal.StringToCoTaskMemUTF8);
        try
        {
            return (int)NVRTCNativeMethods.nvrtcCompileProgram(Program(program), count, texts);
        }
        finally
        {
            foreach (nint text in texts) Marshal.FreeCoTaskMem(text);
        }
    }

    private static int nvrtcGetProgramLogSize(nint program, out nuint size)
    {
        SizeT found = 0;
        int result = (int)NVRTCNativeMethods.nvrtcGetProgramLogSize(Program(program), ref found);
        size = found;
        return result;
    }

    private static int nvrtcGetProgramLog(nint program, byte[] log) => (int)NVRTCNativeMethods.nvrtcGetProgramLog(Program(program), log);

    private static int nvrtcGetPTXSize(nint program, out nuint size)
    {
        SizeT found = 0;
        int result = (int)NVRTCNativeMethods.nvrtcGetPTXSize(Program(program), ref found);
        size = found;
        return result;
    }

    private static int nvrtcGetPTX(nint program, byte[] text) => (int)NVRTCNativeMethods.nvrtcGetPTX(Program(program), text);

    private static int nvrtcGetCUBINSize(nint program, out nuint size)
    {
        SizeT found = 0;
        int result = (int)NVRTCNativeMethods.nvrtcGetCUBINSize(Program(program), ref found);
        size = found;
        return result;
    }

    private static int nvrtcGetCUBIN(nint program, byte[] image) => (int)NVRTCNativeMethods.nvrtcGetCUBIN(Program(program), image);

    private static int nvrtcDestroyProgram(ref nint program)
    {
        nvrtcProgram destroyed = Program(program);
        int result = (int)NVRTCNativeMethods.nvrtcDestroyProgram(ref destroyed);
        program = destroyed.Pointer;
        return result;
    }

    private static nvrtcProgram Program(nint program) => new() { Pointer = program };
}
