namespace RawDiffusion.Cuda.Launches;

/// <summary>
/// How kernels of <c>channel_tile.cuh</c> split the pixels that they reduce: a block takes a tile, the last block combines them.
/// </summary>
/// <param name="Vector">Channels of one thread.</param>
/// <param name="TilePixels">Pixels of a tile; the last may have fewer.</param>
/// <param name="Tiles">Number of tiles.</param>
internal readonly record struct ChannelTiles(int Vector, int TilePixels, int Tiles)
{
    private const int PixelsPerThread = 8;

    /// <summary>
    /// Splits so that a thread takes eight pixels, of which some are in flight, unless there were then more tiles than
    /// <paramref name="most"/> and combining them took longer than gathering them.
    /// </summary>
    /// <param name="pixels">Pixels to reduce.</param>
    /// <param name="channels">Channels of a pixel.</param>
    /// <param name="vector">Channels of one thread.</param>
    /// <param name="most">Most tiles.</param>
    public static ChannelTiles Of(int pixels, int channels, int vector, int most)
    {
        int columns = Math.Max(1, channels / vector);
        int tilePixels = Math.Max(Math.Max(1, Elementwise.Block / columns) * PixelsPerThread, (pixels + most - 1) / most);
        // No pixels: one tile, which stores zeros.
        return new(vector, tilePixels, Math.Max(1, (pixels + tilePixels - 1) / tilePixels));
    }

    /// <summary>Pixels of each tile, as statistics weigh them.</summary>
    public float[] Counts(int pixels)
    {
        float[] counts = new float[Tiles];
        for (int t = 0; t < Tiles; t++) counts[t] = Math.Min(TilePixels, pixels - t * TilePixels);
        return counts;
    }
}
