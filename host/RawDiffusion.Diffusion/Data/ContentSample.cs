using System.Globalization;
using System.Security.Cryptography;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// What tells the images of files from others, wherever they lie: names and lengths of all, and a SHA-256 of the first MiB of 64 of
/// them, which are spread evenly; of all where there are no more.
/// </summary>
internal static class ContentSample
{
    /// <summary>Bytes of a file that are looked at.</summary>
    public const int MaxBytes = 1 << 20;

    private const int MaxFiles = 64;

    /// <summary>The hashes, as a checkpoint keeps them.</summary>
    /// <param name="names">Names that stay when the files move.</param>
    /// <param name="length">Length of a file.</param>
    /// <param name="start">Its first <see cref="MaxBytes"/> bytes.</param>
    public static string Of(IReadOnlyList<string> names, Func<int, long> length, Func<int, byte[]> start)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int files = Math.Min(MaxFiles, names.Count);
        for (int i = 0; i < files; i++)
        {
            int file = (int)((long)i * names.Count / files);
            ReadPolicy.Attempt(() => hash.AppendData(start(file)));
        }
        IEnumerable<string> lines = names.Select((name, i) => string.Create(CultureInfo.InvariantCulture, $"{name} {Length(i)}"));
        return $"{string.Join('\n', lines)}\n{Convert.ToHexStringLower(hash.GetHashAndReset())}";

        // A file that is gone is one that differs.
        long Length(int file)
        {
            long found = -1;
            ReadPolicy.Attempt(() => found = length(file));
            return found;
        }
    }
}
