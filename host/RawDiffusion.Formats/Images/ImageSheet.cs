namespace RawDiffusion.Formats.Images;

/// <summary>Square images in rows and columns, with white lines between them.</summary>
public static class ImageSheet
{
    private const int Line = 2;

    /// <summary>Makes the sheet.</summary>
    /// <param name="size">Height and width S of each image.</param>
    /// <param name="columns">Images in a row.</param>
    /// <param name="tiles">[S, S, 3] each, values 0 to 1, row by row.</param>
    public static Image Of(int size, int columns, IReadOnlyList<float[]> tiles)
    {
        int rows = (tiles.Count + columns - 1) / columns, width = columns * (size + Line) - Line, height = rows * (size + Line) - Line;
        float[] planes = new float[3 * width * height];
        planes.AsSpan().Fill(1);
        for (int i = 0; i < tiles.Count; i++)
        {
            int left = i % columns * (size + Line), top = i / columns * (size + Line);
            for (int p = 0; p < size * size; p++)
            {
                int at = (top + p / size) * width + left + p % size;
                for (int c = 0; c < 3; c++) planes[c * width * height + at] = tiles[i][3 * p + c];
            }
        }
        return ImageConvert.FromChw(planes, 3, height, width);
    }
}
