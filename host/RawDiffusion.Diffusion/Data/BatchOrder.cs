using System.Numerics;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Which image of a set comes when: images in order, or each epoch in another order in which every image comes once. The order
/// is a function of (seed, epoch) that is computed where it is asked for: a Feistel network under Philox permutes the
/// smallest even number of bits that holds N, and walks its cycle until it meets a number below N.
/// </summary>
/// <param name="count">N.</param>
/// <param name="seed">Of the orders.</param>
/// <param name="shuffle">Whether there are any.</param>
public sealed class BatchOrder(int count, uint seed, bool shuffle)
{
    /// <summary>Apart from what procedural sets, samplers and training draw under the same seed.</summary>
    private const uint Stream = 0x6f726472;

    private const uint Rounds = 6;

    private readonly int halfBits = (BitOperations.Log2((uint)Math.Max(count - 1, 1)) + 2) / 2;

    /// <summary>The image at a position of the endless sequence of epochs.</summary>
    /// <param name="position">0, 1, 2, ..., of all batches of all processes together.</param>
    public int IndexAt(long position)
    {
        (long epoch, long index) = Math.DivRem(position, count);
        return shuffle ? Permute((uint)index, epoch) : (int)index;
    }

    private int Permute(uint index, long epoch)
    {
        do
        {
            index = Encrypt(index, epoch);
        }
        while (index >= count);
        return (int)index;
    }

    private uint Encrypt(uint value, long epoch)
    {
        uint mask = (1u << halfBits) - 1;
        (uint left, uint right) = (value >> halfBits, value & mask);
        for (uint round = 0; round < Rounds; round++)
        {
            (uint random, _, _, _) = Philox.Block(right, round, (uint)epoch, (uint)(epoch >> 32), seed, Stream);
            (left, right) = (right, left ^ (random & mask));
        }
        return left << halfBits | right;
    }
}
