namespace RawDiffusion.Cuda.Emulator.Tests.Instructions;

/// <summary>Expected bits follow from IEEE 754 and the PTX manual, worked out by hand.</summary>
public class FloatTests
{
    private const uint One = 0x3F800000, OneUp = 0x3F800001, Tiny = 0x33000000, NaN = 0x7FC00000, Denormal = 0x00000001, Two =
        0x40000000, Three = 0x40400000;

    // Tiny is 2^-25, a quarter of a unit of 1.
    [TestCase("add.rn.f32 %d, %a, %b;", One, Tiny, One)]
    [TestCase("add.rz.f32 %d, %a, %b;", One, Tiny, One)]
    [TestCase("add.rm.f32 %d, %a, %b;", One, Tiny, One)]
    [TestCase("add.rp.f32 %d, %a, %b;", One, Tiny, OneUp)]
    [TestCase("sub.rz.f32 %d, %a, %b;", One, 0x00800000u, 0x3F7FFFFFu)]
    [TestCase("mul.rn.f32 %d, %a, %b;", OneUp, OneUp, 0x3F800002u)]
    [TestCase("mul.rp.f32 %d, %a, %b;", OneUp, OneUp, 0x3F800003u)]
    [TestCase("fma.rm.f32 %d, %a, %b, 0f80000001;", One, One, 0x3F7FFFFFu)]
    [TestCase("fma.rn.f32 %d, %a, %b, 0fBF800000;", OneUp, OneUp, 0x34800000u)]
    [TestCase("div.rn.f32 %d, %a, %b;", One, Three, 0x3EAAAAABu)]
    [TestCase("div.rz.f32 %d, %a, %b;", One, Three, 0x3EAAAAAAu)]
    [TestCase("rcp.rp.f32 %d, %b;", 0u, Three, 0x3EAAAAABu)]
    [TestCase("rcp.rm.f32 %d, %b;", 0u, Three, 0x3EAAAAAAu)]
    [TestCase("sqrt.rn.f32 %d, %a;", Two, 0u, 0x3FB504F3u)]
    [TestCase("sqrt.rp.f32 %d, %a;", Two, 0u, 0x3FB504F4u)]
    [TestCase("mul.rz.f32 %d, %a, %a;", 0x7F000000u, 0u, 0x7F7FFFFFu)]
    [TestCase("mul.rn.f32 %d, %a, %a;", 0x7F000000u, 0u, 0x7F800000u)]
    [TestCase("add.f32 %d, %a, %b;", Denormal, Denormal, 0x00000002u)]
    [TestCase("add.ftz.f32 %d, %a, %b;", Denormal, Denormal, 0u)]
    [TestCase("mul.ftz.f32 %d, %a, 0f3F000000;", 0x80800000u, 0u, 0x80000000u)]
    [TestCase("add.sat.f32 %d, %a, %b;", One, One, One)]
    [TestCase("add.sat.f32 %d, %a, %b;", NaN, One, 0u)]
    [TestCase("sub.sat.f32 %d, %a, %b;", One, Two, 0u)]
    [TestCase("min.f32 %d, %a, %b;", NaN, One, One)]
    [TestCase("max.f32 %d, %a, %b;", 0x80000000u, 0u, 0u)]
    [TestCase("min.f32 %d, %a, %b;", 0x80000000u, 0u, 0x80000000u)]
    [TestCase("abs.f32 %d, %a;", 0xBF800000u, 0u, One)]
    [TestCase("neg.f32 %d, %a;", One, 0u, 0xBF800000u)]
    [TestCase("copysign.f32 %d, %a, %b;", 0x80000000u, One, 0xBF800000u)]
    [TestCase("ex2.approx.f32 %d, %a;", Three, 0u, 0x41000000u)]
    [TestCase("ex2.approx.ftz.f32 %d, %a;", 0xC3020000u, 0u, 0u)]
    [TestCase("ex2.approx.f32 %d, %a;", 0xFF800000u, 0u, 0u)]
    [TestCase("ex2.approx.f32 %d, %a;", 0x7F800000u, 0u, 0x7F800000u)]
    [TestCase("lg2.approx.f32 %d, %a;", 0x41000000u, 0u, Three)]
    [TestCase("lg2.approx.f32 %d, %a;", 0u, 0u, 0xFF800000u)]
    [TestCase("rsqrt.approx.f32 %d, %a;", 0x40800000u, 0u, 0x3F000000u)]
    [TestCase("tanh.approx.f32 %d, %a;", 0u, 0u, 0u)]
    [TestCase("cos.approx.f32 %d, %a;", 0u, 0u, One)]
    [TestCase("testp.subnormal.f32 %p, %a; selp.b32 %d, 1, 0, %p;", Denormal, 0u, 1u)]
    [TestCase("setp.ne.f32 %p, %a, %b; selp.b32 %d, 1, 0, %p;", NaN, One, 0u)]
    [TestCase("setp.neu.f32 %p, %a, %b; selp.b32 %d, 1, 0, %p;", NaN, One, 1u)]
    [TestCase("setp.ltu.f32 %p, %a, %b; selp.b32 %d, 1, 0, %p;", NaN, One, 1u)]
    [TestCase("setp.num.f32 %p, %a, %b; selp.b32 %d, 1, 0, %p;", NaN, One, 0u)]
    public void A_float32_operation_gives_the_right_bits(string body, uint a, uint b, uint expected) =>
        Assert.That(EmulatedGpu.Apply<uint, uint>(body, [a], [b])[0], Is.EqualTo(expected), body);

    [Test]
    public void Min_and_max_with_NaN_give_NaN_when_asked() =>
        Assert.That(BitConverter.UInt32BitsToSingle(EmulatedGpu.Apply<uint, uint>("max.NaN.f32 %d, %a, %b;", [NaN], [One])[0]), Is.NaN);

    [TestCase("cvt.rni.s32.f32 %d, %a;", 0x40200000u, 2u)]
    [TestCase("cvt.rzi.s32.f32 %d, %a;", 0xC0200000u, 0xFFFFFFFEu)]
    [TestCase("cvt.rmi.s32.f32 %d, %a;", 0xC0200000u, 0xFFFFFFFDu)]
    [TestCase("cvt.rpi.s32.f32 %d, %a;", 0x40200000u, 3u)]
    [TestCase("cvt.rzi.u32.f32 %d, %a;", 0xC0200000u, 0u)]
    [TestCase("cvt.rzi.s32.f32 %d, %a;", 0x4F800000u, 0x7FFFFFFFu)]
    [TestCase("cvt.rzi.s32.f32 %d, %a;", NaN, 0u)]
    [TestCase("cvt.rni.f32.f32 %d, %a;", 0x40200000u, Two)]
    [TestCase("cvt.sat.f32.f32 %d, %a;", Two, One)]
    [TestCase("cvt.rn.f32.s32 %d, %a;", 0x01000001u, 0x4B800000u)]
    [TestCase("cvt.rp.f32.s32 %d, %a;", 0x01000001u, 0x4B800001u)]
    [TestCase("cvt.rz.f32.u32 %d, %a;", 0xFFFFFFFFu, 0x4F7FFFFFu)]
    [TestCase("cvt.rn.f32.u32 %d, %a;", 0xFFFFFFFFu, 0x4F800000u)]
    [TestCase("cvt.sat.u8.s32 %d, %a;", 0x00000100u, 255u)]
    [TestCase("cvt.sat.s8.s32 %d, %a;", 0xFFFFFF00u, 0xFFFFFF80u)]
    [TestCase("cvt.s32.s8 %d, %a;", 0x000000FFu, 0xFFFFFFFFu)]
    [TestCase("cvt.u16.u32 %hd, %a; cvt.u32.u16 %d, %hd;", 0x12345678u, 0x5678u)]
    [TestCase("cvt.rn.f16.f32 %hd, %a; cvt.u32.u16 %d, %hd;", 0x477FF000u, 0x7C00u)]
    [TestCase("cvt.rz.f16.f32 %hd, %a; cvt.u32.u16 %d, %hd;", 0x477FF000u, 0x7BFFu)]
    [TestCase("cvt.rn.f16.f32 %hd, %a; cvt.u32.u16 %d, %hd;", 0x3F801000u, 0x3C00u)]
    [TestCase("cvt.rn.f16.f32 %hd, %a; cvt.u32.u16 %d, %hd;", 0x3F803000u, 0x3C02u)]
    [TestCase("cvt.u16.u32 %hd, %a; cvt.f32.f16 %d, %hd;", 0x0001u, 0x33800000u)]
    [TestCase("cvt.u16.u32 %hd, %a; cvt.f32.f16 %d, %hd;", 0xFC00u, 0xFF800000u)]
    [TestCase("cvt.rn.bf16.f32 %hd, %a; cvt.u32.u16 %d, %hd;", 0x3F808000u, 0x3F80u)]
    [TestCase("cvt.rn.bf16.f32 %hd, %a; cvt.u32.u16 %d, %hd;", 0x3F818000u, 0x3F82u)]
    [TestCase("cvt.rz.bf16x2.f32 %d, %a, %a;", 0x3F81FFFFu, 0x3F813F81u)]
    [TestCase("cvt.rn.bf16x2.f32 %d, %a, 0f40000000;", One, 0x3F804000u)]
    [TestCase("cvt.rn.relu.bf16x2.f32 %d, %a, 0fC0000000;", One, 0x3F800000u)]
    [TestCase("cvt.rn.f16x2.f32 %d, %a, 0f40000000;", One, 0x3C004000u)]
    [TestCase("cvt.rna.tf32.f32 %d, %a;", 0x3F801000u, 0x3F802000u)]
    [TestCase("cvt.rna.tf32.f32 %d, %a;", 0x3F800FFFu, One)]
    public void A_conversion_gives_the_right_bits(string body, uint a, uint expected) =>
        Assert.That(EmulatedGpu.Apply<uint, uint>(body, [a])[0], Is.EqualTo(expected), body);

    // Halves: 3C00 is 1, 4000 is 2, 3555 nearly 1/3, 7BFF the largest, C000 is -2.
    [TestCase("add.rn.f16x2 %d, %a, %b;", 0x3C004000u, 0x40003C00u, 0x42004200u)]
    [TestCase("fma.rn.f16x2 %d, %a, %b, %b;", 0x40003C00u, 0x3C003C00u, 0x42004000u)]
    [TestCase("fma.rn.relu.f16x2 %d, %a, %b, %b;", 0xC000C000u, 0x3C003C00u, 0x00000000u)]
    [TestCase("mul.rn.f16x2 %d, %a, %b;", 0x7BFF3C00u, 0x40004000u, 0x7C004000u)]
    [TestCase("fma.rn.bf16x2 %d, %a, %b, %b;", 0x40003F80u, 0x3F803F80u, 0x40404000u)]
    [TestCase("max.bf16x2 %d, %a, %b;", 0xC0003F80u, 0x3F807FC0u, 0x3F803F80u)]
    [TestCase("neg.f16x2 %d, %a;", 0x3C00C000u, 0u, 0xBC004000u)]
    public void Pairs_of_halves_are_computed_side_by_side(string body, uint a, uint b, uint expected) =>
        Assert.That(EmulatedGpu.Apply<uint, uint>(body, [a], [b])[0], Is.EqualTo(expected), body);

    [TestCase("add.f64 %ld, %la, %lb;", 1.0, 1e-17, 1.0)]
    [TestCase("fma.rn.f64 %ld, %la, %lb, %lb;", 3.0, 5.0, 20.0)]
    [TestCase("div.rn.f64 %ld, %la, %lb;", 1.0, 3.0, 1.0 / 3.0)]
    [TestCase("sqrt.rn.f64 %ld, %la;", 2.0, 0.0, 1.4142135623730951)]
    [TestCase("max.f64 %ld, %la, %lb;", double.NaN, 2.0, 2.0)]
    public void Doubles_round_to_nearest(string body, double a, double b, double expected) =>
        Assert.That(EmulatedGpu.Apply<double, double>(body, [a], [b])[0], Is.EqualTo(expected));
}
