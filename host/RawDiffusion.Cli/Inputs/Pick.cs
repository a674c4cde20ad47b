using System.Globalization;

namespace RawDiffusion.Cli.Inputs;

/// <summary>
/// Which image each factor of a recombination comes from. In <c>--pick</c>, as in the authors' <c>indices</c>, 1 is the
/// first image and 0 the second; 2 is the third, 3 the fourth, and so on.
/// </summary>
internal static class Pick
{
    /// <summary>Image index of each factor.</summary>
    /// <param name="text">Numbers between commas; null for the usual choice for two images: the first half, rounded up, of the
    /// first.</param>
    /// <param name="factors">K.</param>
    /// <param name="images">Number of images.</param>
    /// <exception cref="UsageException">Not one number for each factor, or a number without an image.</exception>
    public static int[] Parse(string? text, int factors, int images)
    {
        if (text is null)
        {
            if (images > 2)
            {
                throw new UsageException(
                    $"{images} images need --pick with {factors} numbers (1: first image, 0: second, 2: third, ...), or --average");
            }
            return [.. Enumerable.Range(0, factors).Select(k => k < (factors + 1) / 2 ? 0 : 1)];
        }
        string[] parts = text.Split(',');
        if (parts.Length != factors)
        {
            throw new UsageException($"--pick takes {factors} numbers, one for each factor of the model, such as "
                + $"{string.Join(",", Enumerable.Range(0, factors).Select(k => 2 * k < factors ? 1 : 0))}, found '{text}'");
        }

        return [.. parts.Select(part => Image(part, images))];
    }

    private static int Image(string part, int images)
    {
        if (int.TryParse(part, NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture,
            out int number) && number < images)
        {
            return number switch { 0 => 1, 1 => 0, _ => number };
        }

        throw new UsageException(
            $"--pick takes numbers from 0 to {images - 1} for {images} images (1: first image, 0: second, 2: third, ...), found '{part}'");
    }
}
