namespace RawDiffusion.Engine.Tests;

public sealed class PhiloxTests
{
    /// <summary>The known answers of Philox4x32-10 in the Random123 distribution (kat_vectors).</summary>
    [TestCase(0u, 0u, 0u, 0u, 0u, 0u, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [TestCase(~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [TestCase(0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u, 0xd16cfe09u, 0x94fdccebu,
        0x5001e420u, 0x24126ea1u)]
    public void Known_answers(uint c0, uint c1, uint c2, uint c3, uint k0, uint k1, uint r0, uint r1, uint r2, uint r3) =>
        Assert.That(Philox.Block(c0, c1, c2, c3, k0, k1), Is.EqualTo((r0, r1, r2, r3)));

    [Test]
    public void Normal_numbers_have_the_moments_of_the_normal_distribution()
    {
        const int Count = 1 << 20;
        float[] x = new float[Count];
        Philox.Normal(x, 0, step: 3, seed: 12, stream: 1);
        // Five standard errors of each moment's estimate.
        double error = 5 / Math.Sqrt(Count);
        Assert.That(x.Average(v => (double)v), Is.EqualTo(0).Within(error));
        Assert.That(x.Average(v => Math.Pow(v, 2)), Is.EqualTo(1).Within(error * Math.Sqrt(2)));
        Assert.That(x.Average(v => Math.Pow(v, 3)), Is.EqualTo(0).Within(error * Math.Sqrt(15)));
        Assert.That(x.Average(v => Math.Pow(v, 4)), Is.EqualTo(3).Within(error * Math.Sqrt(96)));
        Assert.That(x.Max(), Is.InRange(4, 6));
        Assert.That(x.Min(), Is.InRange(-6, -4));
        // Neighbours, which share a radius or a block, do not correlate.
        for (int lag = 1; lag <= 4; lag++)
            Assert.That(Enumerable.Range(0, Count - lag).Average(i => (double)x[i] * x[i + lag]), Is.EqualTo(0).Within(error));
    }

    [Test]
    public void A_piece_is_what_the_whole_has_there([Values(0, 1, 2, 7, 64, 1000)] int start, [Values(0, 1, 2, 3, 4, 7, 33)] int length)
    {
        float[] whole = new float[1100];
        Philox.Normal(whole, 0, 5, 6, 7);
        float[] piece = new float[length];
        Philox.Normal(piece, start, 5, 6, 7);
        Assert.That(piece, Is.EqualTo(whole[start..(start + length)]));
    }

    [Test]
    public void Elements_beyond_two_to_the_34th_have_numbers_of_their_own()
    {
        float[] near = new float[4], far = new float[4];
        Philox.Normal(near, 0, 0, 1, 2);
        Philox.Normal(far, 4L << 32, 0, 1, 2);
        Assert.That(far, Is.Not.EqualTo(near));
    }
}
