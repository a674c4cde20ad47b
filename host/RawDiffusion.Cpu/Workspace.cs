namespace RawDiffusion.Cpu;

/// <summary>
/// Memory that the launches of an executable use in turn, for what one phase of a launch hands to the next: nothing in it
/// outlives its launch. Launches say how much they need while they are prepared; the memory is there when they run.
/// </summary>
internal sealed unsafe class Workspace
{
    private NativeBuffer? buffer;

    /// <summary>The most that any launch asked for, in floats.</summary>
    public long Floats { get; private set; }

    /// <summary>First float; valid once <see cref="Bind"/> was called.</summary>
    public float* Pointer => buffer!.Pointer;

    /// <summary>Asks for so many floats.</summary>
    public void Reserve(long floats) => Floats = Math.Max(Floats, floats);

    /// <summary>Gives the workspace its memory; whoever allocated that keeps it.</summary>
    public void Bind(NativeBuffer memory) => buffer = memory;
}
