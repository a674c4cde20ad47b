using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Inputs;

/// <summary>Checks of files that options name.</summary>
internal static class InputFile
{
    /// <exception cref="CommandException">There is no such file, or it is not a regular one.</exception>
    public static void Require(string path, string what)
    {
        if (path == RegularFile.StandardInput) return;
        string? kind = FileStatus.Of(path)?.Kind;
        if (kind == FileStatus.RegularFile) return;
        throw new CommandException(kind is null ? $"expected {what} at {path}, found no such file"
            : $"expected {what}, found the {kind} {path}");
    }

    /// <summary>What results are named after that are made from a file.</summary>
    public static string Stem(string path) => path == RegularFile.StandardInput ? "stdin" : Path.GetFileNameWithoutExtension(path);
}
