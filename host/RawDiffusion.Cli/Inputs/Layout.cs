namespace RawDiffusion.Cli.Inputs;

/// <summary>Between files' planes (NCHW) and the engine's interleaved channels (NHWC).</summary>
internal static class Layout
{
    /// <summary>[N, C, P] to [N, P, C].</summary>
    public static float[] ToNhwc(ReadOnlySpan<float> x, int channels, int pixels) => Transpose(x, channels, pixels);

    /// <summary>[N, P, C] to [N, C, P].</summary>
    public static float[] ToNchw(ReadOnlySpan<float> x, int channels, int pixels) => Transpose(x, pixels, channels);

    // [N, rows, columns] to [N, columns, rows].
    private static float[] Transpose(ReadOnlySpan<float> x, int rows, int columns)
    {
        float[] y = new float[x.Length];
        int size = rows * columns;
        for (int n = 0; n < x.Length; n += size)
        {
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < columns; j++) y[n + j * rows + i] = x[n + i * columns + j];
        }
        return y;
    }
}
