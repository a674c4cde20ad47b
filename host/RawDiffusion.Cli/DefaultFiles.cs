namespace RawDiffusion.Cli;

/// <summary>The model and the picture that are used where none is named: in <c>weights</c> beside the executable, or above it.</summary>
internal static class DefaultFiles
{
    /// <summary>The default model's file name.</summary>
    public const string ModelName = "shapes.safetensors";

    /// <summary>The default picture's file name.</summary>
    public const string ImageName = "sample.png";

    /// <exception cref="CommandException">The file is not there.</exception>
    public static string Model() => Find(ModelName) ?? throw Missing(ModelName, "--checkpoint");

    /// <exception cref="CommandException">The file is not there.</exception>
    public static string Image() => Find(ImageName) ?? throw Missing(ImageName, "--image");

    /// <summary>Full path of a default file, or null.</summary>
    public static string? Find(string name)
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string path = Path.Combine(folder.FullName, "weights", name);
            if (File.Exists(path)) return path;
        }
        return null;
    }

    private static CommandException Missing(string name, string option) =>
        new($"expected weights/{name} in or above {AppContext.BaseDirectory}, found none: give {option}");
}
