using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Tests.Compilation;

/// <summary>Where a compiler looks, and under which keys. Made-up images stand for compiled kernels.</summary>
public sealed class KernelLookupTests
{
    private static readonly byte[] Marker = [1, 2, 3, 4];

    private TemporaryFolder folder = null!;
    private KernelCache cache = null!;

    [SetUp]
    public void MakeFolder()
    {
        folder = new();
        cache = new(folder.Path);
    }

    [TearDown]
    public void DeleteFolder() => folder.Dispose();

    [Test]
    public void What_was_compiled_is_kept_and_taken_from_the_folder_by_the_next_process()
    {
        byte[] image = new KernelCompiler(Compiler.Sources, Compiler.Nvrtc, cache).Compile(Compiler.ScaleForward, "sm_80");
        Assert.That(cache.Read(Key("sm_80")), Is.EqualTo(image));
        cache.Write(Key("sm_80"), Marker);
        Assert.That(new KernelCompiler(Compiler.Sources, Compiler.Nvrtc, cache).Compile(Compiler.ScaleForward, "sm_80"),
            Is.EqualTo(Marker));
    }

    [Test]
    public void A_damaged_entry_is_compiled_again_and_replaced()
    {
        byte[] image = new KernelCompiler(Compiler.Sources, Compiler.Nvrtc, cache).Compile(Compiler.ScaleForward, "sm_80");
        string file = Directory.GetFiles(folder.Path).Single();
        File.WriteAllBytes(file, File.ReadAllBytes(file)[..^1]);
        Assert.That(new KernelCompiler(Compiler.Sources, Compiler.Nvrtc, cache).Compile(Compiler.ScaleForward, "sm_80"), Is.EqualTo(image));
        Assert.That(cache.Read(Key("sm_80")), Is.EqualTo(image));
    }

    [Test]
    public void A_process_compiles_a_variant_once()
    {
        var compiler = new KernelCompiler(Compiler.Sources, Compiler.Nvrtc);
        Assert.That(compiler.Compile(Compiler.ScaleForward, "sm_80"), Is.SameAs(compiler.Compile(Compiler.ScaleForward with { }, "sm_80")));
    }

    [Test]
    public void Keys_differ_by_source_header_macro_kernel_target_and_compiler()
    {
        KernelVariant variant = Compiler.ScaleForward;
        string[] keys =
        [
            Key("sm_80"),
            Key("sm_86"),
            Key("compute_80"),
            new KernelProgram(Compiler.Sources, variant).Key(KernelTarget.Parse("sm_80"), "11.9"),
            KeyOf(Compiler.Sources, variant with { Kernel = "scale_backward" }),
            KeyOf(Compiler.Sources, variant with { Defines = [("BLOCK", "128"), ("FACTOR", "4.0f")] }),
            KeyOf(Compiler.Sources, variant with { Defines = [("BLOCK", "128")] }),
            KeyOf(Compiler.Of(("scale.cu", Compiler.Scale + " "), ("common.cuh", Compiler.Common)), variant),
            KeyOf(Compiler.Of(("scale.cu", Compiler.Scale), ("common.cuh", Compiler.Common + " ")), variant),
        ];
        Assert.That(keys, Is.Unique);
    }

    [Test]
    public void A_header_that_a_kernel_does_not_include_does_not_change_its_key()
    {
        KernelSources sources = Compiler.Of(("scale.cu", Compiler.Scale), ("common.cuh", Compiler.Common), ("mma.cuh", "nonsense"));
        Assert.That(KeyOf(sources, Compiler.ScaleForward), Is.EqualTo(KeyOf(Compiler.Sources, Compiler.ScaleForward)));
    }

    [Test]
    public void Headers_are_found_through_headers_and_each_counts_once()
    {
        KernelSources sources = Compiler.Of(("a.cu", "#include \"b.cuh\"\n # include \"c.cuh\" // why\n// #include \"d.cuh\""),
            ("b.cuh", "#include \"c.cuh\""), ("c.cuh", "#include \"b.cuh\""));
        Assert.That(sources.Headers("a.cu").Select(h => h.Name), Is.EqualTo(new[] { "b.cuh", "c.cuh" }));
    }

    [Test]
    public void A_header_that_does_not_exist_is_an_error_that_says_who_wants_it()
    {
        KernelSources sources = Compiler.Of(("a.cu", "#include \"b.cuh\""));
        Assert.That(() => sources.Headers("a.cu"), Throws.TypeOf<KernelCompileException>().With.Message.Contains(
            "a.cu includes \"b.cuh\""));
    }

    [Test]
    public void Without_a_compiler_the_prebuilt_kernels_serve_under_their_own_version()
    {
        PrebuiltKernels prebuilt = Prebuilt("12.3", "sm_80");
        Assert.That(new KernelCompiler(Compiler.Sources, null, cache, prebuilt).Compile(Compiler.ScaleForward, "sm_80"),
            Is.EqualTo("sm_80"u8.ToArray()));
    }

    [TestCase("sm_86", "sm_80")]
    [TestCase("sm_89", "sm_89")]
    [TestCase("sm_100", "compute_80")]
    [TestCase("compute_80", "compute_80")]
    public void Without_a_compiler_the_best_that_the_device_can_run_is_taken(string device, string expected)
    {
        PrebuiltKernels prebuilt = Prebuilt("12.3", "compute_80", "sm_80", "sm_89", "sm_90");
        byte[] image = new KernelCompiler(Compiler.Sources, null, cache, prebuilt).Compile(Compiler.ScaleForward, device);
        Assert.That(System.Text.Encoding.UTF8.GetString(image), Is.EqualTo(expected));
    }

    [Test]
    public void Prebuilt_kernels_of_the_same_compiler_save_compiling()
    {
        PrebuiltKernels prebuilt = Prebuilt(Compiler.Nvrtc.Version, "sm_80");
        Assert.That(new KernelCompiler(Compiler.Sources, Compiler.Nvrtc, cache, prebuilt).Compile(Compiler.ScaleForward, "sm_80"),
            Is.EqualTo("sm_80"u8.ToArray()));
    }

    [Test]
    public void A_compiler_of_another_version_compiles_its_own()
    {
        PrebuiltKernels prebuilt = Prebuilt("0.1", "sm_80");
        byte[] image = new KernelCompiler(Compiler.Sources, Compiler.Nvrtc, cache, prebuilt).Compile(Compiler.ScaleForward, "sm_80");
        Assert.That(image, Has.Length.GreaterThan(1000));
    }

    [Test]
    public void A_variant_that_is_nowhere_is_an_error_that_names_it_and_the_libraries_tried()
    {
        KernelVariant other = Compiler.ScaleForward with { Defines = [("BLOCK", "32")] };
        var compiler = new KernelCompiler(Compiler.Sources, null, cache, Prebuilt("12.3", "sm_80"));
        Assert.That(() => compiler.Compile(other, "sm_80"), Throws.TypeOf<KernelCompileException>().With.Message.Contains(
            "scale_forward[BLOCK=32] for sm_80").And.Message.Contains(NativeLibraryFile.Nvrtc.Missing));
    }

    [Test]
    public void What_a_process_asks_for_is_recorded_once_in_the_form_of_a_list()
    {
        string path = folder.File("list.txt");
        var compiler = new KernelCompiler(Compiler.Sources, null, null, Prebuilt("12.3", "sm_80", "sm_90"), new KernelRecorder(path));
        foreach (string target in new[] { "sm_80", "sm_90", "sm_80" }) compiler.Compile(Compiler.ScaleForward, target);
        Assert.That(File.ReadAllLines(path), Is.EqualTo(
            new[] { "sm_80 scale.cu scale_forward BLOCK=128 FACTOR=3.0f", "sm_90 scale.cu scale_forward BLOCK=128 FACTOR=3.0f" }));
        Assert.That(new KernelList(File.ReadLines(path)).Entries,
            Is.EqualTo(new[] { (Compiler.ScaleForward, "sm_80"), (Compiler.ScaleForward, "sm_90") }));
    }

    [Test]
    public void What_is_recorded_is_not_compiled_for_the_shapes_at_hand() =>
        Assert.That(new KernelCompiler(Compiler.Sources, Compiler.Nvrtc, recorder: new(folder.File("list.txt"))).CanCompile, Is.False);

    private static PrebuiltKernels Prebuilt(string version, params string[] targets)
    {
        var program = new KernelProgram(Compiler.Sources, Compiler.ScaleForward);
        using var zip = new MemoryStream();
        PrebuiltKernelsWriter.Write(targets.Select(KernelTarget.Parse)
            .Select(t => (t, program.Key(t, version), System.Text.Encoding.UTF8.GetBytes(t.ToString()))), version, zip);
        return new(() => new MemoryStream(zip.ToArray()));
    }

    // NVRTC's, or any where there is none.
    private static string Version => Nvrtc.Find()?.Version ?? "11.8";

    private static string Key(string target) => new KernelProgram(Compiler.Sources, Compiler.ScaleForward)
        .Key(KernelTarget.Parse(target), Version);

    private static string KeyOf(KernelSources sources, KernelVariant variant) =>
        new KernelProgram(sources, variant).Key(KernelTarget.Parse("sm_80"), Version);
}
