using RawDiffusion.Diffusion.Data;

namespace RawDiffusion.Diffusion.Tests.Data;

/// <summary>Images of 2 x 2 pixels, all of whose values are their index; <paramref name="load"/> may fail or take long.</summary>
internal sealed class NumberedSet(int count, Action<int>? load = null) : ImageSet("numbers", count, 2)
{
    private int loads;

    /// <summary>How often an image was loaded.</summary>
    public int Loads => loads;

    public override string Identity => $"numbers {Count}";

    public override void Load(int index, Span<float> pixels)
    {
        Interlocked.Increment(ref loads);
        load?.Invoke(index);
        pixels.Fill(index);
    }

    public override string NameOf(int index) => $"number-{index}.png";
}
