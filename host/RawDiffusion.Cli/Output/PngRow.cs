using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Output;

/// <summary>Square images side by side without padding, quantised as torchvision's save_image does.</summary>
internal static class PngRow
{
    /// <summary>Makes the row.</summary>
    /// <param name="size">S, pixels a side.</param>
    /// <param name="channels">C: 1 or 3.</param>
    /// <param name="tiles">Planes [C, S, S] of each image.</param>
    public static Image Of(int size, int channels, IReadOnlyList<ReadOnlyMemory<float>> tiles)
    {
        int width = tiles.Count * size;
        float[] planes = new float[channels * size * width];
        for (int i = 0; i < tiles.Count; i++)
        {
            ReadOnlySpan<float> tile = tiles[i].Span;
            for (int row = 0; row < channels * size; row++) tile.Slice(row * size, size).CopyTo(planes.AsSpan(row * width + i * size));
        }
        return ImageConvert.FromChw(planes, channels, size, width);
    }
}
