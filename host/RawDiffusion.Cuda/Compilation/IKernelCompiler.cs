namespace RawDiffusion.Cuda.Compilation;

/// <summary>Gives the compiled form of a kernel, from a cache or a compiler.</summary>
public interface IKernelCompiler
{
    /// <summary>Whether variants that no cache holds can be compiled, so that specialising on shapes is possible.</summary>
    bool CanCompile { get; }

    /// <summary>PTX text or machine code, as the target says.</summary>
    /// <param name="variant">Kernel and macros.</param>
    /// <param name="target"><c>compute_80</c> gives PTX, <c>sm_80</c> machine code.</param>
    /// <exception cref="KernelCompileException">The compiler refused, or there is none and no cache holds the variant.</exception>
    byte[] Compile(KernelVariant variant, string target);
}

/// <summary>A kernel that could not be compiled; the message holds the compiler's log.</summary>
public sealed class KernelCompileException(string message) : Exception(message);
