using RawDiffusion.Cuda.Driver;

namespace RawDiffusion.Cuda.Emulator.Tests.Instructions;

public class UnknownTests
{
    [TestCase("frobnicate.u32 %d, %a;", "frobnicate.u32")]
    [TestCase("add.wonderful.u32 %d, %a, %b;", "wonderful")]
    [TestCase("add.rz.f64 %ld, %la, %lb;", "rz")]
    [TestCase("tex.2d.v4.f32.f32 {%d, %d, %d, %d}, [%la, {%a, %b}];", "tex.2d")]
    [TestCase("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32 {%d,%d,%d,%d}, {%a,%a}, {%b,%b}, {%d,%d,%d,%d};", "mma.sync")]
    public void An_unknown_instruction_is_refused_by_name_when_the_module_is_loaded(string body, string named)
    {
        CudaException error = Assert.Throws<CudaException>(() => EmulatedGpu.Apply<uint, uint>(body, [1]))!;

        Assert.That(error.Result, Is.EqualTo("INVALID_PTX"));
        Assert.That(error.Message, Does.Contain(named).And.Contain("PTX line"));
    }
}
