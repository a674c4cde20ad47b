using System.Runtime.InteropServices;

namespace RawDiffusion.Formats.Images;

/// <summary>The few functions of the system's TurboJPEG library that decode an image; its 2.x and 3.x have them alike.</summary>
internal static unsafe class TurboJpeg
{
    public const int ColourGray = 2, ColourCmyk = 3, ColourYcck = 4;
    public const int PixelRgb = 0, PixelGray = 6;

    /// <summary>Stops at images of hundreds of scans, which take very long to decode.</summary>
    public const int FlagLimitScans = 32768;

    private static readonly string[] Names = ["libturbojpeg.so.0", "libturbojpeg.so", "turbojpeg.dll", "libturbojpeg.dll", "libturbojpeg.dylib"];

    private static readonly nint Library = Load();

    /// <summary>Whether the library was found.</summary>
    public static bool IsAvailable => Library != 0;

    /// <summary>What to do where it was not.</summary>
    public static string Missing =>
        $"reading JPEG needs the TurboJPEG library, which was not found (tried {string.Join(", ", Names)}); install it "
        + "(Debian and Ubuntu: apt install libturbojpeg0 or libturbojpeg, Fedora: turbojpeg, macOS: brew install jpeg-turbo), or convert the image to PNG";

    public static nint InitDecompress() => ((delegate* unmanaged[Cdecl]<nint>)NativeLibrary.GetExport(Library, "tjInitDecompress"))();

    public static int Destroy(nint handle) => ((delegate* unmanaged[Cdecl]<nint, int>)NativeLibrary.GetExport(Library, "tjDestroy"))(handle);

    /// <summary>Size and colour space from the header; 0 on success.</summary>
    public static int DecompressHeader(nint handle, ReadOnlySpan<byte> jpeg, out int width, out int height, out int colourSpace)
    {
        var function = (delegate* unmanaged[Cdecl]<nint, byte*, CULong, int*, int*, int*, int*, int>)NativeLibrary.GetExport(Library, "tjDecompressHeader3");
        int w = 0, h = 0, subsampling = 0, colour = 0;
        int result;
        fixed (byte* source = jpeg) result = function(handle, source, new CULong((nuint)jpeg.Length), &w, &h, &subsampling, &colour);
        (width, height, colourSpace) = (w, h, colour);
        return result;
    }

    /// <summary>Decodes into rows without padding; 0 on success.</summary>
    public static int Decompress(nint handle, ReadOnlySpan<byte> jpeg, Span<byte> pixels, int width, int height, int pixelFormat, int flags)
    {
        var function = (delegate* unmanaged[Cdecl]<nint, byte*, CULong, byte*, int, int, int, int, int, int>)NativeLibrary.GetExport(Library, "tjDecompress2");
        fixed (byte* source = jpeg, destination = pixels)
            return function(handle, source, new CULong((nuint)jpeg.Length), destination, width, 0, height, pixelFormat, flags);
    }

    /// <summary>The last error or warning, as text.</summary>
    public static string ErrorText(nint handle) =>
        Marshal.PtrToStringUTF8(((delegate* unmanaged[Cdecl]<nint, nint>)NativeLibrary.GetExport(Library, "tjGetErrorStr2"))(handle)) ?? "unknown error";

    private static nint Load()
    {
        foreach (string name in Names)
        {
            if (NativeLibrary.TryLoad(name, out nint library)) return library;
        }
        return 0;
    }
}
