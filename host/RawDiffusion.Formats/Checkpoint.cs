using RawDiffusion.Formats.PyTorch;

namespace RawDiffusion.Formats;

/// <summary>Opens a model's weights, whatever the file's format and however they are wrapped.</summary>
public static class Checkpoint
{
    /// <summary>
    /// Opens a safetensors file, or a file that torch.save wrote (zip or legacy), told apart by content. A nested state
    /// dict is found, prefixes of wrappers are removed, weights and averages told apart by <paramref name="selection"/>;
    /// <see cref="TensorFile.Notes"/> says what was done, <see cref="TensorFile.PassedOver"/> what else there is. Tensors are read when
    /// they are asked for.
    /// </summary>
    /// <param name="path">Path of the file.</param>
    /// <param name="selection">Which weights to take where the file has EMA weights too.</param>
    /// <exception cref="FileFormatException">The file has another format, is malformed, or lacks the selected weights.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static TensorFile Open(string path, WeightSelection selection = WeightSelection.Auto)
    {
        var file = new FileContent(path);
        try
        {
            if (PyTorchArchive.IsZip(file) || PyTorchArchive.IsLegacy(file)) return PyTorchCheckpoint.Read(file, selection);
            if (SafeTensors.Matches(file)) return ReadSafeTensors(file, selection);
            throw file.Error(
                $"expected a checkpoint, written by torch.save or in safetensors format, but the file starts with {FirstBytes(file)}");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The start of a file for a message: hexadecimal, and as text.</summary>
    internal static string FirstBytes(FileContent file)
    {
        if (file.Length == 0) return "nothing: it is empty";
        byte[] start = file.ReadBytes(0, Math.Min(16, file.Length), "the file's start");
        string text = string.Concat(start.Select(b => b is >= 0x20 and < 0x7f ? (char)b : '.'));
        return $"{Convert.ToHexStringLower(start)} (\"{text}\")";
    }

    private static TensorFile ReadSafeTensors(FileContent file, WeightSelection selection)
    {
        return StateDict.Of(file, SafeTensors.Read(file), selection);
    }
}
