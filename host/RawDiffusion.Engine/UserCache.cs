namespace RawDiffusion.Engine;

/// <summary>Where a user keeps what can be made again at any time.</summary>
public static class UserCache
{
    /// <summary>
    /// <c>rawdiffusion/NAME</c> in XDG_CACHE_HOME or ~/.cache, on Windows <c>rawdiffusion\NAME</c> in %LOCALAPPDATA%; null where a user
    /// has none of them. It need not be there yet.
    /// </summary>
    /// <param name="name">What is kept there.</param>
    public static string? Folder(string name)
    {
        string? Below(string parent) => parent.Length == 0 ? null : Path.Combine(parent, "rawdiffusion", name);
        if (OperatingSystem.IsWindows()) return Below(Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData));
        string? cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (Path.IsPathRooted(cache)) return Below(cache); // the XDG specification says to ignore a relative one
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        return home.Length == 0 ? null : Below(Path.Combine(home, ".cache"));
    }
}
