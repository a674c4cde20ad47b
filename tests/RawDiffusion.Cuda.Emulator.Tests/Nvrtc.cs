using System.Runtime.InteropServices;
using System.Text;

namespace RawDiffusion.Cuda.Emulator.Tests;

/// <summary>Just enough of NVRTC to feed the emulator what the compiler really emits.</summary>
internal static unsafe class Nvrtc
{
    private static readonly nint Library = Load();

    /// <summary>PTX of a source; the test is skipped where there is no NVRTC.</summary>
    public static string Compile(string source, params string[] options)
    {
        if (Library == 0)
        {
            Assert.Ignore("NVRTC is not installed");
        }

        nint program = 0;
        fixed (byte* text = Encoding.UTF8.GetBytes(source + "\0"), name = "test.cu\0"u8)
        {
            var create = (delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int>)NativeLibrary.GetExport(Library, "nvrtcCreateProgram");
            Assert.That(create(&program, text, name, 0, null, null), Is.Zero);
        }

        string[] all = ["-arch=compute_80", "-std=c++17", "-lineinfo", .. options];
        byte** arguments = stackalloc byte*[all.Length];
        for (int i = 0; i < all.Length; i++)
        {
            arguments[i] = (byte*)Marshal.StringToCoTaskMemUTF8(all[i]);
        }

        var compile = (delegate* unmanaged<nint, int, byte**, int>)NativeLibrary.GetExport(Library, "nvrtcCompileProgram");
        int result = compile(program, all.Length, arguments);
        for (int i = 0; i < all.Length; i++)
        {
            Marshal.FreeCoTaskMem((nint)arguments[i]);
        }

        string log = result == 0 ? "" : Text(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
        Assert.That(log, Is.Empty);
        return Text(program, "nvrtcGetPTXSize", "nvrtcGetPTX");
    }

    private static string Text(nint program, string sizeName, string textName)
    {
        var getSize = (delegate* unmanaged<nint, nuint*, int>)NativeLibrary.GetExport(Library, sizeName);
        var getText = (delegate* unmanaged<nint, byte*, int>)NativeLibrary.GetExport(Library, textName);
        nuint size = 0;
        getSize(program, &size);
        byte[] text = new byte[size];
        fixed (byte* first = text)
        {
            getText(program, first);
        }

        return Encoding.UTF8.GetString(text).TrimEnd('\0');
    }

    private static nint Load()
    {
        foreach (string name in new[] { "libnvrtc.so", "libnvrtc.so.11.2", "libnvrtc.so.12", "libnvrtc.so.13", "nvrtc64_112_0.dll", "nvrtc64_120_0.dll" })
        {
            if (NativeLibrary.TryLoad(name, out nint library))
            {
                return library;
            }
        }

        return 0;
    }
}
