using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>
/// The random numbers of one image: Philox blocks at counter (block, index, split, 0) under key (seed, stream), one word
/// after the other. Splits have counters of their own, so no draw is in both.
/// </summary>
internal sealed class Draws(uint seed, Split split, int index)
{
    /// <summary>Apart from what samplers and training draw under the same seed.</summary>
    private const uint Stream = 0x64617461;

    private readonly uint[] words = new uint[4];
    private uint taken;

    /// <summary>A whole number from 0 to <paramref name="count"/> - 1.</summary>
    public int Below(int count) => (int)((ulong)Word() * (uint)count >> 32);

    /// <summary>A number from <paramref name="low"/> to <paramref name="high"/>, in steps of 2^-24 of the range.</summary>
    public float Between(float low, float high) => low + (high - low) * ((Word() >> 8) * (1f / (1 << 24)));

    private uint Word()
    {
        if (taken % 4 == 0) (words[0], words[1], words[2], words[3]) = Philox.Block(taken / 4, (uint)index, (uint)split, 0, seed, Stream);
        return words[taken++ % 4];
    }
}
