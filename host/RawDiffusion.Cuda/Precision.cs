namespace RawDiffusion.Cuda;

/// <summary>How an executable stores activations and feeds the tensor cores. Sums and statistics are always float32.</summary>
public enum Precision
{
    /// <summary>float32 storage, float32 arithmetic, no tensor cores.</summary>
    Fp32,
    /// <summary>float32 storage, operands of products rounded to 10 bits of fraction.</summary>
    Tf32,
    /// <summary>bfloat16 storage and operands.</summary>
    Bf16,
    /// <summary>float16 storage and operands.</summary>
    Fp16,
}

/// <summary>How the elements of a value are stored in device memory. Names are those of the kernels' types.</summary>
public enum Storage
{
    /// <summary>float32.</summary>
    F32,
    /// <summary>bfloat16.</summary>
    Bf16,
    /// <summary>float16.</summary>
    F16,
    /// <summary>int32.</summary>
    I32,
}
