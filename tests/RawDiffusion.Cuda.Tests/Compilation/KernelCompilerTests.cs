using System.Globalization;
using System.Text;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Tests.Compilation;

public sealed class KernelCompilerTests
{
    [Test]
    public void A_virtual_target_gives_PTX_of_the_selected_kernel_with_line_information()
    {
        string ptx = Encoding.UTF8.GetString(Compile("compute_80"));
        Assert.That(ptx, Does.Contain(".target sm_80").And.Contain(".entry scale_forward(").And.Contain(".loc").And.Contain("scale.cu\""));
        Assert.That(ptx, Does.Not.Contain("scale_backward"));
        Assert.That(ptx, Does.Not.EndWith("\0"));
    }

    [Test]
    public void A_real_target_gives_machine_code([Values("sm_80", "sm_86", "sm_89", "sm_90")] string target)
    {
        byte[] cubin = Compile(target);
        Assert.That(cubin.AsSpan(0, 4).ToArray(), Is.EqualTo("\u007fELF"u8.ToArray()));
    }

    [Test]
    public void A_GPU_newer_than_the_compiler_gets_PTX_of_the_newest_architecture_that_the_compiler_knows()
    {
        int newest = Compiler.Nvrtc.Architectures.Max();
        string ptx = Encoding.UTF8.GetString(Compile("sm_990"));
        Assert.That(ptx, Does.Contain(string.Create(CultureInfo.InvariantCulture, $".target sm_{newest}")));
    }

    [Test]
    public void Macros_reach_the_kernel()
    {
        var other = new KernelVariant("scale.cu", "scale_forward", [("BLOCK", "128"), ("FACTOR", "5.0f")]);
        Assert.That(Encoding.UTF8.GetString(Compile("compute_80")), Does.Contain("0f40400000")); // 3.0
        Assert.That(Encoding.UTF8.GetString(Make().Compile(other, "compute_80")), Does.Contain("0f40A00000")); // 5.0
    }

    [Test]
    public void A_mistake_is_reported_with_file_line_variant_and_the_log()
    {
        var variant = new KernelVariant("scale.cu", "scale_backward", [("BLOCK", "64")]);
        KernelCompiler compiler = Make();
        string message = Assert.Throws<KernelCompileException>(() => compiler.Compile(variant, "compute_80"))!.Message;
        Assert.That(message, Does.Contain("scale.cu(12): error").And.Contain("\"undeclared\"").And.Contain(
            "scale_backward[BLOCK=64]").And.Contain("compute_80"));
    }

    [Test]
    public void A_mistake_in_a_header_is_reported_with_the_headers_name()
    {
        KernelSources sources = Compiler.Of(("scale.cu", Compiler.Scale), ("common.cuh", Compiler.Common.Replace("x + x", "x + z")));
        var compiler = new KernelCompiler(sources, Compiler.Nvrtc);
        string message = Assert.Throws<KernelCompileException>(() => compiler.Compile(Compiler.ScaleForward, "sm_80"))!.Message;
        Assert.That(message, Does.Contain("common.cuh(2): error"));
    }

    [Test]
    public void A_kernel_that_the_file_does_not_hold_is_an_error_that_says_what_to_declare()
    {
        var variant = new KernelVariant("scale.cu", "scale_sideways", []);
        KernelCompiler compiler = Make();
        string message = Assert.Throws<KernelCompileException>(() => compiler.Compile(variant, "sm_80"))!.Message;
        Assert.That(message, Does.Contain("scale_sideways").And.Contain("#ifdef SCALE_SIDEWAYS").And.Contain("extern \"C\""));
    }

    [Test]
    public void A_file_that_is_no_kernel_source_is_an_error_that_names_those_that_are()
    {
        var compiler = new KernelCompiler(Compiler.Sources, null);
        string message = Assert.Throws<KernelCompileException>(
            () => compiler.Compile(new("scale.cuda", "scale_forward", []), "sm_80"))!.Message;
        Assert.That(message, Does.Contain("scale.cuda").And.Contain("common.cuh, scale.cu"));
    }

    [Test]
    public void Several_threads_compile_at_once()
    {
        KernelCompiler compiler = Make();
        byte[] Variant(int i) => compiler.Compile(new("scale.cu", "scale_forward", [("BLOCK", $"{32 << (i % 4)}"), ("FACTOR", "2.0f")]),
            i < 4 ? "sm_80" : "compute_80");
        byte[][] parallel = new byte[8][];
        Parallel.For(0, 8, new() { MaxDegreeOfParallelism = 4 }, i => parallel[i] = Variant(i));
        Assert.That(parallel, Is.EqualTo(Enumerable.Range(0, 8).Select(Variant)));
    }

    [Test]
    public void Without_a_compiler_the_error_names_the_libraries_that_were_tried()
    {
        var compiler = new KernelCompiler(Compiler.Sources, null);
        Assert.That(compiler.CanCompile, Is.False);
        string message = Assert.Throws<KernelCompileException>(() => compiler.Compile(Compiler.ScaleForward, "sm_80"))!.Message;
        Assert.That(message, Does.Contain("scale_forward").And.Contain(NativeLibraryFile.Nvrtc.Missing));
    }

    private static KernelCompiler Make() => new(Compiler.Sources, Compiler.Nvrtc);

    private static byte[] Compile(string target) => Make().Compile(Compiler.ScaleForward, target);
}
