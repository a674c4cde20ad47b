namespace RawDiffusion.Engine;

/// <summary>Element types of values in a graph. Both take four bytes.</summary>
public enum DType
{
    /// <summary>Single precision.</summary>
    F32,
    /// <summary>Signed 32-bit integer: counters and indices.</summary>
    I32,
}
