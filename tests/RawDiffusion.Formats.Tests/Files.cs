namespace RawDiffusion.Formats.Tests;

/// <summary>Where tests read and write.</summary>
internal static class Files
{
    private static readonly string Goldens = FindGoldens();

    /// <summary>A file of tests/goldens.</summary>
    public static string Golden(string name) => Path.Combine(Goldens, name);

    /// <summary>What the tests write is below this folder, beside the built tests.</summary>
    public static string TemporaryRoot => Path.Combine(TestContext.CurrentContext.WorkDirectory, "formats-tests");

    /// <summary>A path in a folder of the running test.</summary>
    public static string Temporary(string name)
    {
        string folder = Path.Combine(TemporaryRoot, TestContext.CurrentContext.Test.ID);
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

    private static string FindGoldens()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string goldens = Path.Combine(folder.FullName, "goldens");
            if (Directory.Exists(goldens)) return goldens;
        }
        throw new DirectoryNotFoundException($"no folder 'goldens' above {AppContext.BaseDirectory}");
    }
}
