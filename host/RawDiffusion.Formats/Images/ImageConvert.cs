namespace RawDiffusion.Formats.Images;

/// <summary>Between images and the [3, height, width] float32 arrays that models take.</summary>
public static class ImageConvert
{
    /// <summary>The image resized to a square, as the reference implementation loads it.</summary>
    /// <param name="image">Any image.</param>
    /// <param name="size">Width and height of the result.</param>
    /// <returns>[3, size, size] red, green, blue planes in [0, 1].</returns>
    public static float[] ToChw(Image image, int size)
    {
        float[] hwc = ImageResize.Resize(image, size, size);
        float[] chw = new float[hwc.Length];
        int plane = size * size;
        for (int p = 0; p < plane; p++)
        {
            for (int c = 0; c < 3; c++) chw[c * plane + p] = hwc[3 * p + c];
        }
        return chw;
    }

    /// <summary>
    /// An 8-bit image of values in [0, 1], rounded as torchvision's save_image does: trunc(clamp(255 x + 0.5, 0, 255)) in
    /// float32. NaN becomes 0.
    /// </summary>
    /// <param name="chw">[channels, height, width] planes.</param>
    /// <param name="channels">1 gray or 3 RGB.</param>
    /// <param name="height">Rows.</param>
    /// <param name="width">Columns.</param>
    /// <exception cref="ArgumentException">The span's length is not channels x height x width.</exception>
    public static Image FromChw(ReadOnlySpan<float> chw, int channels, int height, int width)
    {
        if (!Image.Fits(width, height, channels) || chw.Length != channels * height * width)
            throw new ArgumentException($"[{channels}, {height}, {width}] is not the shape of an image of {chw.Length} values");
        byte[] samples = new byte[chw.Length];
        int plane = height * width;
        for (int p = 0; p < plane; p++)
        {
            for (int c = 0; c < channels; c++) samples[p * channels + c] = Quantise(chw[c * plane + p]);
        }
        return new Image(width, height, channels, 8, samples);
    }

    private static byte Quantise(float x)
    {
        float scaled = 255f * x + 0.5f;
        return scaled >= 255f ? (byte)255 : scaled > 0f ? (byte)scaled : (byte)0;
    }
}
