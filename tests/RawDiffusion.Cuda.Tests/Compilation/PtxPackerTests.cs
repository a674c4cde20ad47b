using System.Text;
using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Tests.Compilation;

public sealed class PtxPackerTests
{
    private const string Ptx = """
        .version 7.8
        .visible .entry k(
        	.param .u64 k_param_0
        )
        {
        	.reg .f32 	%f<4000>;
        	.loc	2 128 17, function_name $L__info_string3, inlined_at 1 114 5
        	mov.f32 	%f3731, 0f3F800000;
        	mov.u32 	%r7, %tid.x;
        $L__BB0_4:
        	fma.rn.f32 	%f12, %f11, %f3731, %f12;
        	@%p1 bra 	$L__BB0_4;
        .b8 95,90,78,0
        }

        """;

    [TestCase(Ptx)]
    [TestCase("")]
    [TestCase("\n")]
    [TestCase("\n\na")]
    [TestCase("a\r\n%r1\r\n")]
    [TestCase("%r007 %r0 %r12345678 %r123456789012 12345678901234567890 007 0 -1 1.5 0x10 _1 $1 % $ %1 $L__BB0_ %r1_2")]
    [TestCase("mov %r8159; mov %r8160, %r9999999; add 223, 224, 8159, 8160, 9999999, 10000000")]
    [TestCase("%rd1 %rd2 %rd102 %rd103 %rd204 %rd1 %rd5000 %rd4900 %rd4899 %rd0")]
    [TestCase("a \u0001 b")]
    [TestCase("\u0002")]
    [TestCase("\u00ff\u0000\u0085 %r\u00e91")]
    public void What_was_packed_is_put_together_byte_for_byte(string text)
    {
        var packer = new PtxPacker();
        byte[] image = Encoding.Latin1.GetBytes(text);
        foreach (int _ in (int[])[1, 2]) Assert.That(PtxPacker.Unpack(packer.Lines, packer.Pack(image)), Is.EqualTo(image));
    }

    [Test]
    public void Any_bytes_are_put_together()
    {
        var packer = new PtxPacker();
        var random = new Random(5);
        byte[] alphabet = "%$rfL_.0123456789 \n\t,b8loc\u0001"u8.ToArray();
        for (int i = 0; i < 500; i++)
        {
            byte[] image = [.. Enumerable.Range(0, random.Next(200)).Select(_ => alphabet[random.Next(alphabet.Length)])];
            Assert.That(PtxPacker.Unpack(packer.Lines, packer.Pack(image)), Is.EqualTo(image), () => Encoding.Latin1.GetString(image));
        }
    }

    [Test]
    public void Registers_that_are_numbered_otherwise_pack_alike()
    {
        var packer = new PtxPacker();
        byte[][] first = packer.Pack(Encoding.Latin1.GetBytes(Lines(1))), second = packer.Pack(Encoding.Latin1.GetBytes(Lines(2)));
        Assert.That(second[(int)PackedStream.Lines], Is.EqualTo(first[(int)PackedStream.Lines]));
        Assert.That(second[(int)PackedStream.Registers][1..], Is.EqualTo(first[(int)PackedStream.Registers][1..]));

        static string Lines(int from) => string.Join('\n', Enumerable.Range(from, 50).Select(i => $"add.f32 %f{i + 2}, %f{i + 1}, %f{i};"));
    }

    [Test]
    public void Damaged_streams_are_refused_or_give_other_bytes()
    {
        var packer = new PtxPacker();
        byte[][] packed = packer.Pack(Encoding.Latin1.GetBytes(Ptx));
        var random = new Random(6);
        for (int i = 0; i < 1000; i++)
        {
            byte[][] damaged = [.. packed.Select(s => s.ToArray())];
            byte[] stream = damaged[random.Next((int)PackedStream.Kept)];
            if (stream.Length == 0) continue;
            stream[random.Next(stream.Length)] = (byte)random.Next(256);
            try
            {
                PtxPacker.Unpack(packer.Lines, damaged);
            }
            catch (InvalidDataException)
            {
                // Refused; all else is told by the checksum.
            }
        }
    }
}
