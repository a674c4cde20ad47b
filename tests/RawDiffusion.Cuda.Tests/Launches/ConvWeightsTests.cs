using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Tests.Launches;

public sealed class ConvWeightsTests
{
    [Test]
    public void Packed_weights_follow_chunk_tap_and_output_channel([Values] bool transpose)
    {
        // [O, K, K, C]; each weight tells its own place.
        Shape shape = [3, 2, 2, 5];
        float[] weight = [.. Enumerable.Range(0, (int)shape.Count).Select(i => i + 1f)];
        float[] packed = Floats(new ConvWeights("float", 4, 8, transpose).Pack(weight, shape));
        (int outputs, int channels) = transpose ? (5, 3) : (3, 5);
        int chunks = transpose ? 1 : 2;
        Assert.That(packed, Has.Length.EqualTo(chunks * 4 * 8 * 4));
        for (int i = 0; i < packed.Length; i++)
        {
            int k = i % 4, o = i / 4 % 8, tap = i / 32 % 4, c = i / 128 * 4 + k;
            // The gradient of the input sees the taps in the opposite order.
            float expected = o >= outputs || c >= channels ? 0 : transpose ? weight[(c * 4 + 3 - tap) * 5 + o]
                : weight[(o * 4 + tap) * 5 + c];
            Assert.That(packed[i], Is.EqualTo(expected), $"chunk {i / 128} tap {tap} output {o} channel {c}");
        }
    }

    [TestCase(0x3f808000u, 0x3f80)] // a tie goes to even: down
    [TestCase(0x3f818000u, 0x3f82)] // and up
    [TestCase(0x3f808001u, 0x3f81)]
    [TestCase(0xbf808001u, 0xbf81)]
    [TestCase(0x7f7fffffu, 0x7f80)] // the largest float is too large
    [TestCase(0x7f800000u, 0x7f80)]
    [TestCase(0x7f800001u, 0x7fc0)] // not a number, whatever its bits
    public void Bf16_is_to_nearest_even(uint bits, int expected) => Assert.That(
        MemoryMarshal.Read<ushort>(new ConvWeights("bf16", 16, 32, false).Pack([BitConverter.UInt32BitsToSingle(bits)], [1, 1, 1, 1])),
            Is.EqualTo(expected));

    [TestCase(0x3f801000u, 0x3f802000u)] // a tie goes away from zero
    [TestCase(0xbf801000u, 0xbf802000u)]
    [TestCase(0x3f800fffu, 0x3f800000u)]
    [TestCase(0xff800000u, 0xff800000u)]
    public void Tf32_is_to_nearest_away(uint bits, uint expected) => Assert.That(
        MemoryMarshal.Read<uint>(new ConvWeights("tf32", 8, 32, false).Pack([BitConverter.UInt32BitsToSingle(bits)], [1, 1, 1, 1])),
            Is.EqualTo(expected));

    private static float[] Floats(byte[] bytes) => MemoryMarshal.Cast<byte, float>(bytes).ToArray();
}
