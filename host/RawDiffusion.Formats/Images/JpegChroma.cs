namespace RawDiffusion.Formats.Images;

/// <summary>
/// Chroma with half the columns, or half the columns and rows, and its interpolation as libjpeg does it (<c>jdsample.c</c>, "fancy
/// upsampling"), which is what the authors' pipeline saw.
/// </summary>
/// <param name="halfRows">Whether rows are halved too.</param>
internal sealed class JpegChroma(bool halfRows)
{
    private const byte Adobe = 0xee;

    /// <summary>An Adobe segment that says that the three components are no YCbCr.</summary>
    public static ReadOnlySpan<byte> Untransformed =>
        [0xff, Adobe, 0, 14, (byte)'A', (byte)'d', (byte)'o', (byte)'b', (byte)'e', 0, 100, 0, 0, 0, 0, 0];

    /// <summary>The chroma of a file of YCbCr, 2 x 1 or 2 x 2 pixels a sample; null for all others.</summary>
    /// <param name="jpeg">Segments up to the frame are whole.</param>
    public static JpegChroma? Of(ReadOnlySpan<byte> jpeg)
    {
        for (int position = 2; position + 4 <= jpeg.Length;)
        {
            byte marker = jpeg[position + 1];
            int length = 2 + (jpeg[position + 2] << 8 | jpeg[position + 3]);
            // Adobe's files say themselves what their components are.
            if (marker == Adobe || marker == 0xda) return null;
            if (marker is 0xc0 or 0xc1 or 0xc2)
            {
                ReadOnlySpan<byte> frame = jpeg.Slice(position, length);
                if (length < 19 || frame[9] != 3 || frame[4] != 8 || frame[14] != 0x11 || frame[17] != 0x11 || frame[10] == 'R')
                    return null;
                return frame[11] is 0x21 or 0x22 ? new(frame[11] == 0x22) : null;
            }
            position += length;
        }
        return null;
    }

    /// <summary>RGB from the planes Y, Cb, Cr, whose chroma is repeated over its pixels.</summary>
    public Image ToRgb(Image planes)
    {
        int width = planes.Width, height = planes.Height;
        int[] blue = Interpolate(planes, 1), red = Interpolate(planes, 2);
        byte[] rgb = new byte[planes.Samples.Length];
        for (int p = 0; p < width * height; p++)
        {
            double y = planes.Samples[3 * p], cb = blue[p] - 128, cr = red[p] - 128;
            rgb[3 * p] = Round(y + 1.402 * cr);
            rgb[3 * p + 1] = Round(y - 0.344136286 * cb - 0.714136286 * cr);
            rgb[3 * p + 2] = Round(y + 1.772 * cb);
        }
        return new Image(width, height, 3, 8, rgb);
    }

    private static byte Round(double value) => (byte)Math.Clamp((int)Math.Floor(value + 0.5), 0, 255);

    /// <summary>Each pixel is 3/4 of its own sample and 1/4 of the nearer neighbour, along each halved axis.</summary>
    private int[] Interpolate(Image planes, int channel)
    {
        int width = planes.Width, height = planes.Height, columns = (width + 1) / 2, rows = halfRows ? (height + 1) / 2 : height;
        int[] result = new int[width * height];
        int[] sums = new int[columns];
        for (int y = 0; y < height; y++)
        {
            int row = halfRows ? y / 2 : y, near = halfRows ? Math.Clamp(row + (y % 2 == 0 ? -1 : 1), 0, rows - 1) : row;
            for (int c = 0; c < columns; c++) sums[c] = halfRows ? 3 * Sample(c, row) + Sample(c, near) : Sample(c, row);
            for (int x = 0; x < width; x++)
            {
                int c = x / 2, left = x % 2 == 0 ? 1 : 0, neighbour = c - 2 * left + 1;
                // libjpeg repeats the samples of rows of one or two, and rounds to the left and to the right in turn.
                if (columns <= 2) result[y * width + x] = Sample(c, row);
                else if (neighbour < 0 || neighbour >= columns) result[y * width + x] = halfRows ? (4 * sums[c] + 7 + left) >> 4 : sums[c];
                else if (halfRows) result[y * width + x] = (3 * sums[c] + sums[neighbour] + 7 + left) >> 4;
                else result[y * width + x] = (3 * sums[c] + sums[neighbour] + 2 - left) >> 2;
            }
        }
        return result;

        int Sample(int column, int row) => planes.Samples[((halfRows ? 2 * row : row) * width + 2 * column) * 3 + channel];
    }
}
