using System.Runtime.InteropServices;

namespace RawDiffusion.Engine;

/// <summary>A native library that may be installed or not. It is looked for once, when first asked for.</summary>
public class SystemLibrary
{
    private readonly string advice;
    private readonly IReadOnlyList<string> needed;
    private readonly Lazy<(nint Handle, string? Path)> loaded;
    private string? refusal;

    /// <summary>States a library.</summary>
    /// <param name="title">Its name for people.</param>
    /// <param name="advice">What to do where it is missing.</param>
    /// <param name="tried">Names, which the system looks for, and paths, in the order of preference; none where it is not wanted.</param>
    /// <param name="needed">Functions that a library which is too old lacks; such a one is passed over.</param>
    public SystemLibrary(string title, string advice, IReadOnlyList<string> tried, params IReadOnlyList<string> needed)
    {
        (Title, Tried, this.advice, this.needed) = (title, tried, advice, needed);
        loaded = new(Load);
    }

    /// <summary>The library's name for people.</summary>
    public string Title { get; }

    /// <summary>Every name and path that is looked for, in this order; the first that loads and has all functions is taken.</summary>
    public IReadOnlyList<string> Tried { get; }

    /// <summary>Whether one of <see cref="Tried"/> loaded and has all functions.</summary>
    public bool IsFound => Handle != 0;

    /// <summary>Where it was found; null if it was not.</summary>
    public string? FoundAt => loaded.Value.Path;

    /// <summary>What to say where it was not found: names tried, or why one that is there cannot be used, and what to do.</summary>
    public string Missing => Tried.Count == 0 ? $"{Title} was not looked for; {advice}"
        : IsFound || refusal is null ? $"{Title} was not found (tried {string.Join(", ", Tried)}); {advice}"
        : $"{Title} is there and cannot be used: {refusal}; {advice}";

    /// <summary>For those who import its functions; 0 where it was not found.</summary>
    public nint Handle => loaded.Value.Handle;

    private (nint Handle, string? Path) Load()
    {
        foreach (string name in Tried)
        {
            if (!NativeLibrary.TryLoad(name, out nint handle))
            {
                refusal ??= Refusal(name);
                continue;
            }
            string file = MappedFile(name);
            string? lacking = needed.FirstOrDefault(function => !NativeLibrary.TryGetExport(handle, function, out _));
            if (lacking is null) return (handle, file);
            refusal ??= $"{file} is too old, it has no {lacking}";
            NativeLibrary.Free(handle);
        }
        return (0, null);
    }

    // What the system's loader says of a library that exists; null of one that does not. Its words are the last line of the exception's.
    private static string? Refusal(string name)
    {
        bool isPath = Path.IsPathRooted(name);
        if (isPath ? !File.Exists(name) : !OperatingSystem.IsLinux()) return null;
        try
        {
            NativeLibrary.Free(NativeLibrary.Load(name));
            return null;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            string text = e.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[^1];
            return !isPath && text.StartsWith($"{name}: cannot open", StringComparison.Ordinal) ? null : text;
        }
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
