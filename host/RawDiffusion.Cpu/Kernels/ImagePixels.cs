using RawDiffusion.Engine;

namespace RawDiffusion.Cpu.Kernels;

/// <summary>
/// A launch over the pixels of images [N, H, W, C] in tasks of about equal size, however many images are in one. The first
/// phase, one task, may prepare what all pixels need.
/// </summary>
internal abstract unsafe class ImagePixelsLaunch(string description, Shape shape) : CpuLaunch
{
    private readonly long total = shape.WithChannels(1).Count;
    private readonly long pixels = (long)shape[1] * shape[2];
    private readonly int pixelsPerTask = Math.Max(1, 16 * 1024 / Math.Max(1, shape[3]));

    public override string Description => description;

    public override int Phases => 2;

    /// <summary>Channels of a pixel.</summary>
    protected int Channels { get; } = shape[3];

    public override int Tasks(int phase) => phase == 0 ? 1 : checked((int)((total + pixelsPerTask - 1) / pixelsPerTask));

    public sealed override void Run(int phase, int task, float* scratch)
    {
        if (phase == 0)
        {
            Prepare();
            return;
        }
        long end = Math.Min(total, (task + 1L) * pixelsPerTask);
        for (long first = (long)task * pixelsPerTask; first < end;)
        {
            long n = first / pixels, last = Math.Min(end, (n + 1) * pixels);
            Run((int)n, (nint)first * Channels, (int)(last - first));
            first = last;
        }
    }

    /// <summary>What is the same for all pixels.</summary>
    protected virtual void Prepare()
    {
    }

    /// <summary>Processes some pixels of image n, the first of whose elements is at <paramref name="at"/>.</summary>
    protected abstract void Run(int n, nint at, int count);
}
