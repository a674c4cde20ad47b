namespace RawDiffusion.Cli.Inputs;

/// <summary>Checks of files that options name.</summary>
internal static class InputFile
{
    /// <exception cref="CommandException">There is no such file.</exception>
    public static void Require(string path, string what)
    {
        if (File.Exists(path)) return;
        throw new CommandException(Directory.Exists(path) ? $"expected {what}, found the folder {path}" : $"expected {what} at {path}, found no such file");
    }
}
