using System.IO.Compression;
using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Tests.Compilation;

public sealed class PrebuiltKernelsTests
{
    private static readonly (KernelTarget Target, string Key, byte[] Image)[] Kernels =
    [
        (KernelTarget.Parse("sm_80"), "a", [1, 2, 3]),
        (KernelTarget.Parse("sm_80"), "b", [1, 4]),
        (KernelTarget.Parse("compute_80"), "c", "mov.f32 %f17, %f4;\n"u8.ToArray()),
    ];

    [Test]
    public void What_was_written_is_read_back()
    {
        PrebuiltKernels prebuilt = Open(Written());
        Assert.That(prebuilt.CompilerVersion, Is.EqualTo("11.8"));
        Assert.That(prebuilt.Count, Is.EqualTo(3));
        Assert.That(prebuilt.Targets.Select(t => t.ToString()), Is.EqualTo(new[] { "sm_80", "compute_80" }));
        Assert.That(Kernels.Select(k => prebuilt.Read(k.Key)), Is.EqualTo(Kernels.Select(k => k.Image)));
        Assert.That(prebuilt.Read("d"), Is.Null);
    }

    [Test]
    public void The_same_kernels_give_the_same_bytes()
    {
        byte[] first = Written(), second = Written();
        Assert.That(second, Is.EqualTo(first));
    }

    [Test]
    public void A_kernel_with_other_content_is_not_trusted()
    {
        byte[] file = Replace("kept.br", _ => Brotli([1, 2, 3, 1, 5]));
        Assert.That(Open(file).Read("b"), Is.Null);
        Assert.That(Open(file).Read("a"), Is.EqualTo(new byte[] { 1, 2, 3 }), "others are as good as ever");
        Assert.That(Open(Replace("registers.br", _ => Brotli([0, 0]))).Read("c"), Is.Null, "its steps are missed");
        Assert.That(Open(Replace("registers.br", _ => Brotli([1, 9]))).Read("c"), Is.Null, "a register that never came");
        Assert.That(Open(Replace("lines.br", _ => Brotli([0, 0, 9, 9]))).Read("c"), Is.Null, "a line that there is not");
    }

    [TestCase("text.br")]
    [TestCase("lines.br")]
    [TestCase("registers.br")]
    [TestCase("steps.br")]
    public void A_stream_that_is_truncated_or_no_Brotli_is_not_trusted(string name)
    {
        Assert.That(Open(Replace(name, _ => Brotli([1]))).Read("c"), Is.Null);
        Assert.That(Open(Replace(name, _ => [0xff, 0xff, 0xff])).Read("c"), Is.Null);
    }

    [Test]
    public void A_place_outside_a_stream_is_not_trusted()
    {
        byte[] file = Replace(PrebuiltKernels.ManifestName,
            text => System.Text.Encoding.UTF8.GetBytes(System.Text.Encoding.UTF8.GetString(text).Replace(" 0 2\n", " 0 3\n")));
        Assert.That(Open(file).Read("b"), Is.Null);
    }

    [Test]
    public void A_manifest_of_another_form_is_refused()
    {
        byte[] file = Replace(PrebuiltKernels.ManifestName, _ => "something else\n"u8.ToArray());
        Assert.That(() => Open(file), Throws.TypeOf<InvalidDataException>().With.Message.Contains("something else"));
    }

    [Test]
    public void A_list_is_compiled_and_stays_up_to_date_until_a_source_changes()
    {
        var list = new KernelList(
            ["sm_80,compute_80 scale.cu scale_forward BLOCK=128 FACTOR=3.0f", "sm_80 scale.cu scale_forward BLOCK=64 FACTOR=3.0f"]);
        using var zip = new MemoryStream();
        PrebuiltKernelsWriter.Write(list, Compiler.Sources, Compiler.Nvrtc, null, null, zip, _ => { });
        PrebuiltKernels prebuilt = Open(zip.ToArray());
        byte[] expected = new KernelCompiler(Compiler.Sources, Compiler.Nvrtc).Compile(Compiler.ScaleForward, "sm_80");
        Assert.That(new KernelCompiler(Compiler.Sources, null, null, prebuilt).Compile(Compiler.ScaleForward, "sm_80"),
            Is.EqualTo(expected));
        Assert.That(prebuilt.Missing(list, Compiler.Sources), Is.Empty);

        // What is known is taken as it is, by its key.
        string key = new KernelProgram(Compiler.Sources, Compiler.ScaleForward).Key(KernelTarget.Parse("sm_80"), prebuilt.CompilerVersion);
        using var old = new MemoryStream();
        PrebuiltKernelsWriter.Write([(KernelTarget.Parse("sm_80"), key, [7])], prebuilt.CompilerVersion, old);
        using var again = new MemoryStream();
        PrebuiltKernelsWriter.Write(list, Compiler.Sources, Compiler.Nvrtc, null, Open(old.ToArray()), again, _ => { });
        Assert.That(Open(again.ToArray()).Read(key), Is.EqualTo(new byte[] { 7 }));
        Assert.That(Open(again.ToArray()).Count, Is.EqualTo(3));

        list.Add(Compiler.ScaleForward, "sm_90");
        Assert.That(prebuilt.Missing(list, Compiler.Sources), Is.EqualTo(new[] { (Compiler.ScaleForward, "sm_90") }));
        KernelSources changed = Compiler.Of(("scale.cu", Compiler.Scale), ("common.cuh", Compiler.Common + "\n"));
        Assert.That(prebuilt.Missing(list, changed).Count(), Is.EqualTo(4));
    }

    [Test]
    public void A_list_that_does_not_compile_is_an_error_with_the_log()
    {
        var list = new KernelList(["sm_80 scale.cu scale_backward"]);
        Nvrtc nvrtc = Compiler.Nvrtc;
        Assert.That(() => PrebuiltKernelsWriter.Write(list, Compiler.Sources, nvrtc, null, null, Stream.Null, _ => { }),
            Throws.TypeOf<KernelCompileException>().With.Message.Contains("undeclared"));
    }

    [Test]
    public void Lines_of_one_variant_become_one_with_all_targets()
    {
        var list = new KernelList(["# a remark", "", "sm_90 a.cu k X=1 Y=a=b", "sm_80,sm_90 a.cu k X=1 Y=a=b", "sm_80 a.cu j"]);
        Assert.That(list.Lines, Is.EqualTo(new[] { "sm_80 a.cu j", "sm_80,sm_90 a.cu k X=1 Y=a=b" }));
        Assert.That(list.Entries.Last().Variant.Defines, Is.EqualTo(new[] { ("X", "1"), ("Y", "a=b") }));
    }

    [Test]
    public void A_line_that_is_none_is_refused([Values("sm_80 a.cu", "sm_80 a.cu k X", "sm_80 a.cu k =1")] string line) =>
        Assert.That(() => new KernelList([line]), Throws.TypeOf<FormatException>().With.Message.Contains(line));

    [Test]
    public void A_variant_that_a_line_cannot_hold_is_refused() =>
        Assert.That(() => new KernelList().Add(new("a.cu", "k", [("T", "unsigned int")]), "sm_80"),
        Throws.ArgumentException.With.Message.Contains("T=unsigned int"));

    [Test]
    public void The_prebuilt_kernels_that_ship_are_up_to_date()
    {
        if (PrebuiltKernels.Embedded is not { } prebuilt || ListFile() is not { } list)
        {
            Assert.Ignore("this build has no prebuilt kernels: run tools/PrebuildKernels, then build again");
            return;
        }
        Assert.That(prebuilt.Missing(new(File.ReadLines(list)), KernelSources.Embedded), Is.Empty,
            "run tools/PrebuildKernels, then build again");
    }

    private static string? ListFile()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string list = Path.Combine(folder.FullName, "kernels", "prebuilt.txt");
            if (File.Exists(list)) return list;
        }
        return null;
    }

    private static PrebuiltKernels Open(byte[] file) => new(() => new MemoryStream(file));

    private static byte[] Written()
    {
        using var zip = new MemoryStream();
        PrebuiltKernelsWriter.Write(Kernels, "11.8", zip);
        return zip.ToArray();
    }

    private static byte[] Replace(string name, Func<byte[], byte[]> change)
    {
        var stream = new MemoryStream();
        stream.Write(Written());
        using (var zip = new ZipArchive(stream, ZipArchiveMode.Update, leaveOpen: true))
        {
            ZipArchiveEntry entry = zip.GetEntry(name)!;
            var old = new MemoryStream();
            using (Stream content = entry.Open()) content.CopyTo(old);
            entry.Delete();
            using Stream written = zip.CreateEntry(name).Open();
            written.Write(change(old.ToArray()));
        }
        return stream.ToArray();
    }

    private static byte[] Brotli(byte[] content)
    {
        var stream = new MemoryStream();
        using (var brotli = new BrotliStream(stream, CompressionLevel.Optimal, leaveOpen: true)) brotli.Write(content);
        return stream.ToArray();
    }
}
