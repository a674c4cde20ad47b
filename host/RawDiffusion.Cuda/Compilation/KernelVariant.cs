namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// One kernel with its compile-time constants. A source file holds several kernels, each between
/// <c>#ifdef NAME_IN_CAPITALS</c> and <c>#endif</c>; a variant compiles one of them.
/// </summary>
/// <param name="File">Source file in <c>kernels/</c>: <c>group_norm.cu</c>.</param>
/// <param name="Kernel">The kernel's name: <c>group_norm_forward</c>.</param>
/// <param name="Defines">Macros in the order in which the launch states them.</param>
public sealed record KernelVariant(string File, string Kernel, IReadOnlyList<(string Name, string Value)> Defines)
{
    /// <summary>Name and macros: <c>group_norm_forward[X_T=bf16 BLOCK=256]</c>. Equal texts are equal variants.</summary>
    public override string ToString() => $"{Kernel}[{string.Join(" ", Defines.Select(d => $"{d.Name}={d.Value}"))}]";

    /// <inheritdoc/>
    public bool Equals(KernelVariant? other) => other is not null && File == other.File && ToString() == other.ToString();

    /// <inheritdoc/>
    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);
}
