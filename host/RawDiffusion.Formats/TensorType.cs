namespace RawDiffusion.Formats;

/// <summary>Element types that tensor files hold.</summary>
public enum TensorType
{
    /// <summary>One byte, zero or one.</summary>
    Bool,
    /// <summary>Unsigned 8-bit integer.</summary>
    UInt8,
    /// <summary>Signed 8-bit integer.</summary>
    Int8,
    /// <summary>Signed 16-bit integer.</summary>
    Int16,
    /// <summary>Signed 32-bit integer.</summary>
    Int32,
    /// <summary>Signed 64-bit integer.</summary>
    Int64,
    /// <summary>IEEE 754 half precision.</summary>
    Float16,
    /// <summary>The upper 16 bits of an IEEE 754 single.</summary>
    BFloat16,
    /// <summary>IEEE 754 single precision.</summary>
    Float32,
    /// <summary>IEEE 754 double precision.</summary>
    Float64,
}

/// <summary>Facts about <see cref="TensorType"/> values.</summary>
public static class TensorTypes
{
    /// <summary>Bytes that one element takes.</summary>
    public static int Size(this TensorType type) => type switch
    {
        TensorType.Bool or TensorType.UInt8 or TensorType.Int8 => 1,
        TensorType.Int16 or TensorType.Float16 or TensorType.BFloat16 => 2,
        TensorType.Int32 or TensorType.Float32 => 4,
        TensorType.Int64 or TensorType.Float64 => 8,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown tensor type"),
    };
}
