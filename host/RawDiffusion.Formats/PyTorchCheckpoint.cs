using RawDiffusion.Formats.PyTorch;

namespace RawDiffusion.Formats;

/// <summary>
/// State dicts in files of torch.save: the zip format, and the legacy format of PyTorch before 1.6. Pickles are read by a
/// machine that builds tensors and plain containers only, and runs nothing.
/// </summary>
public static partial class PyTorchCheckpoint
{
    /// <summary>Opens the state dict in a file; see <see cref="Checkpoint.Open"/>, which also takes safetensors.</summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="selection">Which weights to take where the file has EMA weights too.</param>
    /// <exception cref="FileFormatException">The file is malformed, or lacks the selected weights.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TensorFile Open(string path, WeightSelection selection = WeightSelection.Auto)
    {
        var file = new FileContent(path);
        try
        {
            return Read(file, selection);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    internal static TensorFile Read(FileContent file, WeightSelection selection)
    {
        var archive = PyTorchArchive.Read(file);
        return StateDict.Of(file, archive.Root, selection, archive, PyTorchArchive.IsZip(file) ? "PyTorch zip" : "PyTorch legacy");
    }
}
