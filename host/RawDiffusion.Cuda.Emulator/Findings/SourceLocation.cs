namespace RawDiffusion.Cuda.Emulator.Findings;

/// <summary>A line of a kernel's source; present where the kernel was compiled with line information.</summary>
/// <param name="File">File name as the compiler was given it; empty where unknown.</param>
/// <param name="Line">Line, from 1; the line of the PTX text where there is no line information.</param>
public sealed record SourceLocation(string File, int Line)
{
    /// <summary>Where the function that holds the line was inlined into.</summary>
    public SourceLocation? InlinedAt { get; init; }

    /// <summary><c>group_norm.cu:41</c>, with the places it was inlined at.</summary>
    public override string ToString()
    {
        string text = File.Length == 0 ? $"PTX line {Line}" : $"{Path.GetFileName(File)}:{Line}";
        return InlinedAt is null ? text : $"{text} (inlined at {InlinedAt})";
    }
}
