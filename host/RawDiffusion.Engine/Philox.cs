namespace RawDiffusion.Engine;

/// <summary>
/// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011):
/// a bijection of a 128-bit counter under a 64-bit key. No state, so every device and any parallelism draws the same.
/// </summary>
public static class Philox
{
    /// <summary>Four random words for one counter.</summary>
    public static (uint, uint, uint, uint) Block(uint c0, uint c1, uint c2, uint c3, uint k0, uint k1)
    {
        for (int round = 0; round < 10; round++)
        {
            ulong p0 = 0xD2511F53UL * c0;
            ulong p1 = 0xCD9E8D57UL * c2;
            (c0, c1, c2, c3) = ((uint)(p1 >> 32) ^ c1 ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c3 ^ k1, (uint)p0);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
        return (c0, c1, c2, c3);
    }

    /// <summary>
    /// Standard normal numbers by Box-Muller: elements 4 b .. 4 b + 3 of a step come from the block at counter
    /// (b, 0, step, 0) under key (seed, stream), as pairs of radius and angle.
    /// </summary>
    /// <param name="destination">Receives elements <paramref name="start"/>, start + 1, ...</param>
    /// <param name="start">First element.</param>
    /// <param name="step">Sampling or training step.</param>
    /// <param name="seed">User's seed.</param>
    /// <param name="stream">Distinguishes independent uses of one seed.</param>
    public static void Normal(Span<float> destination, long start, uint step, uint seed, uint stream)
    {
        Span<float> four = stackalloc float[4];
        for (int i = 0, taken; i < destination.Length; i += taken)
        {
            (long block, int lane) = ((start + i) / 4, (int)((start + i) % 4));
            (uint a, uint b, uint c, uint d) = Block((uint)block, (uint)(block >> 32), step, 0, seed, stream);
            (four[0], four[1]) = BoxMuller(a, b);
            (four[2], four[3]) = BoxMuller(c, d);
            taken = Math.Min(4 - lane, destination.Length - i);
            four.Slice(lane, taken).CopyTo(destination[i..]);
        }
    }

    // 24 bits each, offset by half a step: the radius is finite and never needs a branch.
    private static (float, float) BoxMuller(uint a, uint b)
    {
        float u = ((a >> 8) + 0.5f) * (1f / (1 << 24));
        float v = (b >> 8) * (2f * MathF.PI / (1 << 24));
        float radius = MathF.Sqrt(-2f * MathF.Log(u));
        (float sin, float cos) = MathF.SinCos(v);
        return (radius * cos, radius * sin);
    }
}
