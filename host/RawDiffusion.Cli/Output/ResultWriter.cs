using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Output;

/// <summary>Writes a verb's images and tensors.</summary>
internal static class ResultWriter
{
    /// <summary>The file that --raw adds.</summary>
    public const string RawName = "result.safetensors";

    /// <summary>Requires that images of that many channels can be shown.</summary>
    /// <exception cref="CommandException">They cannot.</exception>
    public static void RequirePicture(UNetConfig config)
    {
        if (config.ImageChannels is not (1 or 3))
            throw new CommandException($"expected a model of pictures with 1 or 3 channels, found one with {config.ImageChannels}");
    }

    /// <summary>Adds a row and its tiles.</summary>
    public static void AddRow(OutputFolder folder, RowFiles names, UNetConfig config, IReadOnlyList<ReadOnlyMemory<float>> tiles)
    {
        folder.Add(names.Row, path => ImageFile.WritePng(path, PngRow.Of(config.ImageSize, config.ImageChannels, tiles)));
        for (int i = 0; i < names.Tiles.Count; i++)
        {
            ReadOnlyMemory<float> tile = tiles[i];
            folder.Add(names.Tiles[i], path => ImageFile.WritePng(path, PngRow.Of(config.ImageSize, config.ImageChannels, [tile])));
        }
    }

    /// <summary>Adds the tensors of --raw.</summary>
    public static void AddRaw(OutputFolder folder, params (string Name, int[] Shape, float[] Values)[] tensors) =>
        folder.Add(RawName, path => SafeTensors.Write(
        path, tensors.Select(t => KeyValuePair.Create(t.Name, Tensor.FromSingles(t.Shape, t.Values)))));

    /// <summary>Warns where a result is not a number.</summary>
    public static void WarnNonFinite(Terminal terminal, ReadOnlySpan<float> values)
    {
        int bad = 0;
        foreach (float value in values) bad += float.IsFinite(value) ? 0 : 1;
        if (bad > 0)
        {
            terminal.Warn($"expected finite numbers in the result, found {bad} of {values.Length} that are not: they are black in the "
                + "pictures");
        }
    }
}
