namespace RawDiffusion.Cuda.Emulator.Tests.Instructions;

/// <summary>Expected values are the PTX manual's definitions worked out by hand.</summary>
public class IntegerTests
{
    [TestCase("add.s32 %d, %a, %b;", 0x7FFFFFFFu, 1u, 0x80000000u)]
    [TestCase("add.sat.s32 %d, %a, %b;", 0x7FFFFFFFu, 1u, 0x7FFFFFFFu)]
    [TestCase("sub.sat.s32 %d, %a, %b;", 0x80000000u, 1u, 0x80000000u)]
    [TestCase("mul.lo.u32 %d, %a, %b;", 0x10001u, 0x10001u, 0x20001u)]
    [TestCase("mul.hi.u32 %d, %a, %b;", 0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFEu)]
    [TestCase("mul.hi.s32 %d, %a, %b;", 0xFFFFFFFFu, 2u, 0xFFFFFFFFu)]
    [TestCase("mad.lo.s32 %d, %a, %b, %b;", 5u, 7u, 42u)]
    [TestCase("div.s32 %d, %a, %b;", 0xFFFFFFF9u, 2u, 0xFFFFFFFDu)]
    [TestCase("rem.s32 %d, %a, %b;", 0xFFFFFFF9u, 2u, 0xFFFFFFFFu)]
    [TestCase("div.u32 %d, %a, %b;", 0xFFFFFFF9u, 2u, 0x7FFFFFFCu)]
    [TestCase("min.s32 %d, %a, %b;", 0xFFFFFFFFu, 1u, 0xFFFFFFFFu)]
    [TestCase("min.u32 %d, %a, %b;", 0xFFFFFFFFu, 1u, 1u)]
    [TestCase("abs.s32 %d, %a;", 0xFFFFFFFBu, 0u, 5u)]
    [TestCase("neg.s32 %d, %a;", 5u, 0u, 0xFFFFFFFBu)]
    [TestCase("sad.u32 %d, %a, %b, 10;", 3u, 8u, 15u)]
    [TestCase("shl.b32 %d, %a, %b;", 3u, 31u, 0x80000000u)]
    [TestCase("shl.b32 %d, %a, %b;", 3u, 32u, 0u)]
    [TestCase("shr.s32 %d, %a, %b;", 0x80000000u, 40u, 0xFFFFFFFFu)]
    [TestCase("shr.u32 %d, %a, %b;", 0x80000000u, 31u, 1u)]
    [TestCase("shf.l.wrap.b32 %d, %a, %b, 36;", 0x12345678u, 0x9ABCDEF0u, 0xABCDEF01u)]
    [TestCase("shf.l.clamp.b32 %d, %a, %b, 36;", 0x12345678u, 0x9ABCDEF0u, 0x12345678u)]
    [TestCase("shf.r.wrap.b32 %d, %a, %b, 4;", 0x12345678u, 0x9ABCDEF0u, 0x01234567u)]
    [TestCase("shf.r.clamp.b32 %d, %a, %b, 50;", 0x12345678u, 0x9ABCDEF0u, 0x9ABCDEF0u)]
    [TestCase("lop3.b32 %d, %a, %b, 0xFF00FF00, 0xE8;", 0xFFFF0000u, 0x0F0F0F0Fu, 0xFF0F0F00u)]
    [TestCase("not.b32 %d, %a;", 0x0F0F0F0Fu, 0u, 0xF0F0F0F0u)]
    [TestCase("cnot.b32 %d, %a;", 0u, 0u, 1u)]
    [TestCase("popc.b32 %d, %a;", 0xF0F0u, 0u, 8u)]
    [TestCase("clz.b32 %d, %a;", 0x00010000u, 0u, 15u)]
    [TestCase("clz.b32 %d, %a;", 0u, 0u, 32u)]
    [TestCase("brev.b32 %d, %a;", 0x00000001u, 0u, 0x80000000u)]
    [TestCase("bfind.u32 %d, %a;", 0x00012345u, 0u, 16u)]
    [TestCase("bfind.s32 %d, %a;", 0xFFFFFFF0u, 0u, 3u)]
    [TestCase("bfind.shiftamt.u32 %d, %a;", 0x00012345u, 0u, 15u)]
    [TestCase("bfind.u32 %d, %a;", 0u, 0u, 0xFFFFFFFFu)]
    [TestCase("bfe.u32 %d, %a, 4, 8;", 0x00000AB0u, 0u, 0xABu)]
    [TestCase("bfe.s32 %d, %a, 4, 8;", 0x00000AB0u, 0u, 0xFFFFFFABu)]
    [TestCase("bfe.s32 %d, %a, 28, 8;", 0x80000000u, 0u, 0xFFFFFFF8u)]
    [TestCase("bfe.u32 %d, %a, 0, 0;", 0xFFFFFFFFu, 0u, 0u)]
    [TestCase("bfi.b32 %d, %a, %b, 8, 4;", 0x5u, 0xFFFFFFFFu, 0xFFFFF5FFu)]
    [TestCase("prmt.b32 %d, %a, %b, 0x5410;", 0x33221100u, 0x77665544u, 0x55441100u)]
    [TestCase("prmt.b32 %d, %a, %b, 0x000B;", 0x80221100u, 0u, 0x000000FFu)]
    [TestCase("prmt.b32.f4e %d, %a, %b, 1;", 0x33221100u, 0x77665544u, 0x44332211u)]
    [TestCase("prmt.b32.b4e %d, %a, %b, 1;", 0x33221100u, 0x77665544u, 0x66770011u)]
    [TestCase("prmt.b32.rc16 %d, %a, %b, 1;", 0x33221100u, 0x77665544u, 0x33223322u)]
    [TestCase("dp4a.s32.s32 %d, %a, %b, 100;", 0x01FF0203u, 0x01020304u, 100u + 1 - 2 + 6 + 12)]
    [TestCase("add.cc.u32 %d, %a, %b; addc.u32 %d, 0, 0;", 0xFFFFFFFFu, 1u, 1u)]
    [TestCase("sub.cc.u32 %d, %a, %b; subc.u32 %d, 5, 0;", 0u, 1u, 4u)]
    [TestCase("mad.lo.cc.u32 %d, %a, %b, %b; madc.hi.u32 %d, %a, %b, 0;", 0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFFu)]
    [TestCase("mul24.lo.s32 %d, %a, %b;", 0xFF000003u, 4u, 12u)]
    public void A_32_bit_operation_gives_what_the_manual_says(string body, uint a, uint b, uint expected) =>
        Assert.That(EmulatedGpu.Apply<uint, uint>(body, [a], [b])[0], Is.EqualTo(expected));

    [TestCase("mul.wide.u32 %ld, %a, %b;", 0xFFFFFFFFu, 0xFFFFFFFFu, 0xFFFFFFFE00000001ul)]
    [TestCase("mul.wide.s32 %ld, %a, %b;", 0xFFFFFFFFu, 3u, 0xFFFFFFFFFFFFFFFDul)]
    [TestCase("mad.wide.u32 %ld, %a, %b, 7;", 0x80000000u, 2u, 0x100000007ul)]
    [TestCase("cvt.u64.u32 %ld, %a;", 0xFFFFFFFFu, 0u, 0xFFFFFFFFul)]
    [TestCase("cvt.s64.s32 %ld, %a;", 0xFFFFFFFFu, 0u, ulong.MaxValue)]
    [TestCase("mov.b64 %ld, {%a, %b};", 0x1u, 0x2u, 0x200000001ul)]
    public void Two_words_make_a_long(string body, uint a, uint b, ulong expected) =>
        Assert.That(EmulatedGpu.Apply<uint, ulong>(body, [a], [b])[0], Is.EqualTo(expected));

    [TestCase("add.s64 %ld, %la, %lb;", 0xFFFFFFFFFFFFFFFFul, 2ul, 1ul)]
    [TestCase("mul.hi.u64 %ld, %la, %lb;", 0xFFFFFFFFFFFFFFFFul, 0xFFFFFFFFFFFFFFFFul, 0xFFFFFFFFFFFFFFFEul)]
    [TestCase("mul.lo.s64 %ld, %la, %lb;", 0xFFFFFFFFFFFFFFFFul, 5ul, 0xFFFFFFFFFFFFFFFBul)]
    [TestCase("shr.u64 %ld, %la, 63;", 0x8000000000000000ul, 0ul, 1ul)]
    [TestCase("shl.b64 %ld, %la, 64;", 1ul, 0ul, 0ul)]
    [TestCase("bfi.b64 %ld, %la, %lb, 32, 32;", 0xABCDul, 0x1ul, 0x0000ABCD00000001ul)]
    [TestCase("div.s64 %ld, %la, %lb;", 0xFFFFFFFFFFFFFFF9ul, 2ul, 0xFFFFFFFFFFFFFFFDul)]
    public void A_64_bit_operation_gives_what_the_manual_says(string body, ulong a, ulong b, ulong expected) =>
        Assert.That(EmulatedGpu.Apply<ulong, ulong>(body, [a], [b])[0], Is.EqualTo(expected));

    [TestCase("add.s16 %hd, %ha, %hb;", 0xFFFF, 2, 1)]
    [TestCase("shr.s16 %hd, %ha, 4;", 0x8000, 0, 0xF800)]
    [TestCase("min.s16 %hd, %ha, %hb;", 0xFFFF, 2, 0xFFFF)]
    [TestCase("min.u16 %hd, %ha, %hb;", 0xFFFF, 2, 2)]
    [TestCase("mul.lo.u16 %hd, %ha, %hb;", 0x0101, 0x0101, 0x0201)]
    public void A_16_bit_operation_stays_in_16_bits(string body, int a, int b, int expected) =>
        Assert.That(EmulatedGpu.Apply<ushort, ushort>(body, [(ushort)a], [(ushort)b])[0], Is.EqualTo((ushort)expected));

    [TestCase("setp.lt.s32 %p, %a, %b; selp.b32 %d, 1, 2, %p;", 0xFFFFFFFFu, 1u, 1u)]
    [TestCase("setp.lt.u32 %p, %a, %b; selp.b32 %d, 1, 2, %p;", 0xFFFFFFFFu, 1u, 2u)]
    [TestCase("setp.lo.u32 %p|%q, %a, %b; selp.b32 %d, 1, 2, %q;", 5u, 1u, 1u)]
    [TestCase("setp.eq.u32 %q, 0, 0; setp.eq.and.u32 %p, %a, %b, !%q; selp.b32 %d, 1, 2, %p;", 1u, 1u, 2u)]
    [TestCase("setp.eq.u32 %q, 0, 0; setp.ne.xor.u32 %p, %a, %b, %q; selp.b32 %d, 1, 2, %p;", 1u, 1u, 1u)]
    [TestCase("slct.b32.s32 %d, 1, 2, %a;", 0xFFFFFFFFu, 0u, 2u)]
    [TestCase("set.gt.u32.u32 %d, %a, %b;", 5u, 1u, 0xFFFFFFFFu)]
    public void Comparisons_select(string body, uint a, uint b, uint expected) =>
        Assert.That(EmulatedGpu.Apply<uint, uint>(body, [a], [b])[0], Is.EqualTo(expected));
}
