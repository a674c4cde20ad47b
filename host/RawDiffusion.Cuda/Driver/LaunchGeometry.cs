namespace RawDiffusion.Cuda.Driver;

/// <summary>Three extents, x fastest.</summary>
/// <param name="X">First.</param>
/// <param name="Y">Second.</param>
/// <param name="Z">Third.</param>
public readonly record struct Dim3(int X, int Y = 1, int Z = 1)
{
    /// <summary>Product of the extents.</summary>
    public long Count => (long)X * Y * Z;

    /// <summary>As CUDA programmers write it: (32, 4, 1).</summary>
    public override string ToString() => $"({X}, {Y}, {Z})";

    /// <summary>A one-dimensional extent.</summary>
    public static implicit operator Dim3(int x) => new(x);
}

/// <summary>Size of a launch.</summary>
/// <param name="Grid">Blocks.</param>
/// <param name="Block">Threads of a block.</param>
/// <param name="SharedBytes">Dynamic shared memory of a block.</param>
public readonly record struct LaunchGeometry(Dim3 Grid, Dim3 Block, int SharedBytes = 0)
{
    /// <inheritdoc/>
    public override string ToString() => $"grid {Grid}, block {Block}, {SharedBytes} bytes of dynamic shared memory";
}
