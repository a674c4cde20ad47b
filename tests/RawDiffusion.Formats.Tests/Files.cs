using System.Runtime.CompilerServices;

namespace RawDiffusion.Formats.Tests;

/// <summary>Where tests read and write.</summary>
internal static class Files
{
    /// <summary>A golden file, found relative to this source file.</summary>
    public static string Golden(string name) => Path.Combine(Source(), "..", "goldens", name);

    /// <summary>A fresh folder that is deleted with the test's other output.</summary>
    public static string Temporary(string name)
    {
        string folder = Path.Combine(TestContext.CurrentContext.WorkDirectory, "formats-tests", TestContext.CurrentContext.Test.ID);
        Directory.CreateDirectory(folder);
        return Path.Combine(folder, name);
    }

    /// <summary>Writes bytes to a temporary file.</summary>
    public static string Write(string name, ReadOnlySpan<byte> bytes)
    {
        string path = Temporary(name);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private static string Source([CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
