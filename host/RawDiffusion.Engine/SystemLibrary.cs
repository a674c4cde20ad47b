using System.Runtime.InteropServices;

namespace RawDiffusion.Engine;

/// <summary>A native library that may be installed or not. It is looked for once, when first asked for.</summary>
public class SystemLibrary
{
    private readonly string advice;
    private readonly Lazy<(nint Handle, string? Path)> loaded;

    /// <summary>States a library.</summary>
    /// <param name="title">Its name for people.</param>
    /// <param name="advice">What to do where it is missing.</param>
    /// <param name="tried">Names, which the system looks for, and paths, in the order of preference.</param>
    public SystemLibrary(string title, string advice, IReadOnlyList<string> tried)
    {
        (Title, Tried, this.advice) = (title, tried, advice);
        loaded = new(Load);
    }

    /// <summary>The library's name for people.</summary>
    public string Title { get; }

    /// <summary>Every name and path that is looked for, in this order; the first that loads is taken.</summary>
    public IReadOnlyList<string> Tried { get; }

    /// <summary>Whether one of <see cref="Tried"/> loaded.</summary>
    public bool IsFound => Handle != 0;

    /// <summary>Where it was found; null if it was not.</summary>
    public string? FoundAt => loaded.Value.Path;

    /// <summary>What to say where it was not found: names tried, and what to do.</summary>
    public string Missing => $"{Title} was not found (tried {string.Join(", ", Tried)}); {advice}";

    /// <summary>For those who import its functions; 0 where it was not found.</summary>
    public nint Handle => loaded.Value.Handle;

    private (nint Handle, string? Path) Load()
    {
        foreach (string name in Tried)
        {
            if (NativeLibrary.TryLoad(name, out nint handle)) return (handle, MappedFile(name));
        }
        return (0, null);
    }

    // Linux lists the files that are mapped into the process; elsewhere the name that loaded has to do.
    private static string MappedFile(string name)
    {
        if (!OperatingSystem.IsLinux() || Path.IsPathRooted(name)) return name;
        string target = name.EndsWith(".so", StringComparison.Ordinal) ? name + "." : name;
        string stem = target[..(target.IndexOf(".so", StringComparison.Ordinal) + 3)];
        return File.ReadLines("/proc/self/maps").Select(line => line[Math.Max(0, line.IndexOf('/'))..])
            .FirstOrDefault(path => Path.GetFileName(path).StartsWith(stem, StringComparison.Ordinal)) ?? name;
    }
}
