using System.Security.Cryptography;
using System.Text;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Square RGB images by index. Sets are read by many threads at once, and an index gives the same image whenever it is
/// asked for.
/// </summary>
public abstract class ImageSet : IDisposable
{
    /// <summary>Makes a set.</summary>
    /// <param name="name">What errors call it: a folder, a pattern, or the name of a procedural set.</param>
    /// <param name="count">N.</param>
    /// <param name="size">S, pixels a side.</param>
    /// <exception cref="ArgumentException">A number is not positive.</exception>
    protected ImageSet(string name, int count, int size)
    {
        if (count < 1) throw new ArgumentException($"{name}: expected at least one image, found {count}");
        if (size is < 1 or > MaxSize)
            throw new ArgumentException($"{name}: expected an image size from 1 to {MaxSize} pixels, found {size}");
        (Name, Count, Size) = (name, count, size);
    }

    /// <summary>The largest S.</summary>
    public const int MaxSize = 4096;

    /// <summary>What errors call the set.</summary>
    public string Name { get; }

    /// <summary>N.</summary>
    public int Count { get; }

    /// <summary>S: width and height in pixels.</summary>
    public int Size { get; }

    /// <summary>Values of an image: S x S x 3.</summary>
    public int Length => 3 * Size * Size;

    /// <summary>Text that two sets share only where they hold the same images in the same order.</summary>
    public abstract string Identity { get; }

    /// <summary>The files that are read; none where images are drawn.</summary>
    public virtual IEnumerable<string> Files => [];

    /// <summary>
    /// Text that two sets share where, as far as a sample tells, they hold the same images in the same order, wherever their files lie.
    /// </summary>
    public virtual string Content => Identity;

    /// <summary>SHA-256 of <see cref="Content"/>, in hexadecimal digits.</summary>
    public string Fingerprint => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Content)));

    /// <summary>What its source holds besides the images.</summary>
    public virtual PassedOver PassedOver { get; init; } = new();

    /// <summary>Whether images come from picture files, which takes time each time one is loaded.</summary>
    public virtual bool IsDecoded => false;

    /// <summary>M: objects that each image has in <see cref="TruthOf"/>; 0 where that is unknown.</summary>
    public virtual int Objects => 0;

    /// <summary>What the columns of <see cref="GroundTruth.Attributes"/> are.</summary>
    public virtual IReadOnlyList<string> AttributeNames => [];

    /// <summary>Loads an image.</summary>
    /// <param name="index">From 0 to N - 1.</param>
    /// <param name="pixels">Receives [S, S, 3]: red, green, blue in [0, 1].</param>
    /// <exception cref="Formats.FileFormatException">The file is no image, or is damaged.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public abstract void Load(int index, Span<float> pixels);

    /// <summary>Loads an image: [S, S, 3].</summary>
    public float[] Load(int index)
    {
        float[] pixels = new float[Length];
        Load(index, pixels);
        return pixels;
    }

    /// <summary>What errors call an image, such as the path of its file.</summary>
    public abstract string NameOf(int index);

    /// <summary>What is in an image, or null where that is unknown.</summary>
    public virtual GroundTruth? TruthOf(int index) => null;

    /// <summary>Closes files.</summary>
    public virtual void Dispose() => GC.SuppressFinalize(this);
}

/// <summary>What is in an image of M objects.</summary>
/// <param name="Masks">
/// [M, S, S]: the part of each pixel in which an object is seen, from 0 to 1. The masks of a pixel add up to 1 at most; what is
/// left is background.
/// </param>
/// <param name="Attributes">[M, A]: the columns of <see cref="ImageSet.AttributeNames"/> for each object.</param>
public sealed record GroundTruth(float[] Masks, float[] Attributes);

/// <summary>Which part of a set: no image is in both.</summary>
public enum Split
{
    /// <summary>Images to train with.</summary>
    Train,

    /// <summary>Images that training never sees.</summary>
    HeldOut,
}
