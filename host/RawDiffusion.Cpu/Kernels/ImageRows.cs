using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>A launch with one task for each row of each output image [N, H, W, C].</summary>
internal abstract unsafe class ImageRowsLaunch(string description, Shape output) : CpuLaunch
{
    protected int Height { get; } = output[1];
    protected int Width { get; } = output[2];
    protected int Channels { get; } = output[3];

    public override string Description => description;

    public override int Tasks(int phase) => output[0] * Height;

    public sealed override void Run(int phase, int task, float* scratch) =>
        Row(task / Height, task % Height, (nint)task * Width * Channels);

    /// <summary>Computes row y of image n, whose first output element is at <paramref name="at"/>.</summary>
    protected abstract void Row(int n, int y, nint at);
}
