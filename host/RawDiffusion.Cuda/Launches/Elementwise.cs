using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Launches;

/// <summary>What kernels that go over elements one by one share: blocks of 256 threads, each with one vector.</summary>
internal static class Elementwise
{
    /// <summary>Threads of a block.</summary>
    public const int Block = 256;

    /// <summary>
    /// Elements of one thread: as many as divide the extent that vectors lie in, at most 16 bytes of the widest storage, so
    /// that lanes side by side touch whole sectors.
    /// </summary>
    public static int Vector(int extent, params ReadOnlySpan<Storage> storages)
    {
        int width = 8;
        foreach (Storage storage in storages)
            if (StoragePolicy.ElementBytes(storage) == 4) width = 4;
        while (extent % width != 0) width /= 2;
        return width;
    }

    /// <summary>
    /// Most elements of a value: kernels count in int, and a loop's last step goes past the end by as much as a grid of 256 blocks
    /// takes at once.
    /// </summary>
    public const int MaxCount = int.MaxValue - 256 * Block * 8;

    /// <summary>Number of elements of a value as kernels count them.</summary>
    /// <exception cref="GraphException">More than they count.</exception>
    public static int Count(Value value) => value.Shape.Count <= MaxCount
        ? (int)value.Shape.Count
        : throw new GraphException(
        $"{value} has {value.Shape.Count} elements; a CUDA kernel takes at most {MaxCount}: use a smaller batch");
}
