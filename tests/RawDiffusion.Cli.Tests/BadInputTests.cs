using System.Buffers.Binary;
using System.IO.Compression;
using RawDiffusion.Cli.Options;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

/// <summary>Each bad input gives one line that says what was expected and found, an exit code, and no file.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class BadInputTests : IDisposable
{
    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [TestCase("A.pt")]
    [TestCase("B_legacy.pt")]
    [TestCase("safetensors")]
    public void A_truncated_checkpoint(string kind)
    {
        byte[] whole = File.ReadAllBytes(kind == "safetensors" ? work.WriteModel("whole.safetensors", "A") : Goldens.PathOf(kind));
        IEnumerable<int> lengths = Enumerable.Range(0, 70).Concat(Enumerable.Range(1, 60).Select(i => i * (whole.Length / 61)))
            .Concat(Enumerable.Range(1, 30).Select(i => whole.Length - i));
        foreach (int length in lengths)
        {
            string cut = work.Write("cut.pt", whole[..length]);
            Decompose("--checkpoint", cut, "--num-heads", "1").Failed(1, "cut.pt: ");
        }
    }

    [Test]
    public void A_pickle_that_would_run_a_command()
    {
        byte[] pickle = [0x80, 2, .. "cos\nsystem\nX"u8, 17, 0, 0, 0, .. "touch /tmp/owned!"u8, 0x85, .. "R."u8];
        using var zip = new MemoryStream();
        using (var archive = new ZipArchive(zip, ZipArchiveMode.Create, leaveOpen: true))
        {
            using Stream entry = archive.CreateEntry("archive/data.pkl", CompressionLevel.NoCompression).Open();
            entry.Write(pickle);
        }
        string path = work.Write("evil.pt", zip.ToArray());
        Decompose("--checkpoint", path).Failed(1, "os.system");
        Rawdiffusion.Run("import", path).Failed(1, "os.system");
    }

    [Test]
    public void A_zip_entry_that_claims_a_terabyte()
    {
        byte[] good = File.ReadAllBytes(Goldens.PathOf("A.pt"));
        // The central directory follows the entries, so the last place where the name stands is its record there.
        int record = good.AsSpan().LastIndexOf("A/data/0PK"u8) - 46, end = good.AsSpan().LastIndexOf("PK\u0005\u0006"u8);
        int name = BinaryPrimitives.ReadUInt16LittleEndian(good.AsSpan(record + 28));
        byte[] field = [1, 0, 16, 0, .. BitConverter.GetBytes(1L << 40), .. BitConverter.GetBytes(1L << 40)];
        byte[] huge = [.. good[..(record + 46 + name)], .. field, .. good[(record + 46 + name)..]];
        huge.AsSpan(record + 20, 8).Fill(0xff);
        huge[record + 30] = (byte)field.Length;
        BinaryPrimitives.WriteInt32LittleEndian(
            huge.AsSpan(end + field.Length + 12), BinaryPrimitives.ReadInt32LittleEndian(good.AsSpan(end + 12)) + field.Length);
        Decompose("--checkpoint", work.Write("huge.pt", huge)).Failed(1, "claims 1099511627776 bytes");
    }

    [Test]
    public void A_checkpoint_of_another_network()
    {
        Decompose("--checkpoint", Goldens.PathOf("quirks.pt")).Failed(1, "expected a Decomp Diffusion checkpoint");
        string misshaped = work.WriteModel("misshaped.safetensors", "A", edit: (name, tensor) =>
            name == "out.2.bias" ? Tensor.FromSingles([4], new float[4]) : tensor);
        Decompose("--checkpoint", misshaped).Failed(1, "out.2.bias is [4] instead of [3]");
        Decompose("--checkpoint", Goldens.PathOf("B.pt")).Failed(1, "--num-heads or --num-head-channels");
        Decompose("--checkpoint", Goldens.PathOf("A.pt"), "--image-size", "20").Failed(1, "--image-size 20", "25 to 32");
        Decompose("--checkpoint", Goldens.PathOf("A.pt"), "--num-heads", "2", "--num-head-channels", "16").Failed(2, "not both");
    }

    [Test]
    public void NaN_weights_are_warned_about()
    {
        Outcome outcome = Decompose("--checkpoint", work.WriteModel("nan.safetensors", "A", edit: ImportTests.WithNaN), "--steps",
            "1").Succeeded();
        Assert.That(outcome.Error, Does.Contain("warning: nan.safetensors: weights must be finite numbers, but "
            + "out.2.bias[0] is NaN").And.Contain("warning: expected finite numbers in the result"));
        Assert.That(work.Results, Is.EqualTo(new[] { "sample.png" }));
    }

    [Test]
    public void A_guard_names_the_step_and_the_operator_of_the_first_NaN()
    {
        string model = work.WriteModel("nan.safetensors", "A", edit: (name, tensor) => name == "middle_block.0.in_layers.2.bias"
            ? Tensor.FromSingles(tensor.Shape, [0, float.NaN, .. new float[tensor.Count - 2]])
            : tensor);
        Decompose("--checkpoint", model, "--steps", "2", "--guard")
            .Failed(1, "step 1 of 2: middle_block.0.in_layers.2", "produced NaN at element 1 ");
        string picture = Goldens.PathOf("images/synth_20x24.png");
        Rawdiffusion.Run("recombine", "--checkpoint", model, "--image", picture, picture, "--steps", "2", "--guard", "--threads", "1",
            "--out", work.Out)
            .Failed(1, "step 1 of 2: middle_block.0.in_layers.2");
        Assert.That(Directory.Exists(work.Out), Is.False);
        Decompose("--checkpoint", Goldens.PathOf("A.pt"), "--steps", "2", "--guard").Succeeded();
    }

    [Test]
    public void An_image_that_is_none()
    {
        Decompose("--image", work.Write("text.png", "not an image"u8.ToArray()))
            .Failed(1, "text.png", "expected a PNG, JPEG, WebP, BMP, TGA or PNM picture");
        Decompose("--image", work.Write("empty.png", [])).Failed(1, "empty.png");
        byte[] sample = File.ReadAllBytes(Goldens.PathOf("images/synth_20x24.png"));
        Decompose("--image", work.Write("cut.png", sample[..(sample.Length / 2)])).Failed(1, "cut.png");
        Decompose("--image", work.PathOf("missing.png")).Failed(1, "no such file", "missing.png");
        Decompose("--image", work.Folder).Failed(1, "found the folder");
    }

    [TestCase(1, 1)]
    [TestCase(20000, 1)]
    public void An_image_with_too_few_pixels(int width, int height)
    {
        ImageFile.WritePng(work.PathOf("thin.png"), new Image(width, height, 3, 8, new byte[3 * width * height]));
        Decompose("--image", work.PathOf("thin.png")).Failed(1, "expected an image of at least 8 x 8 pixels", $"found {width} x {height}");
    }

    [Test]
    public void A_tensor_that_is_no_image_of_the_model()
    {
        Decompose("--image", work.WriteTensor("small.safetensors", "image", [1, 3, 20, 20], new float[1200]))
            .Failed(1, "[B, 3, 32, 32]", "found [1, 3, 20, 20]");
        Decompose("--image", work.WriteTensor("named.safetensors", "picture", [1, 3, 32, 32], new float[3072]))
            .Failed(1, "expected a tensor 'image'", "picture");
        float[] bad = new float[3072];
        bad[7] = float.PositiveInfinity;
        Decompose("--image", work.WriteTensor("inf.safetensors", "image", [1, 3, 32, 32], bad)).Failed(1, "at element 7");
        SafeTensors.Write(work.PathOf("bytes.safetensors"),
            [KeyValuePair.Create("image", new Tensor(TensorType.UInt8, [1, 3, 32, 32], bytes => bytes.Fill(200)))]);
        Decompose("--image", work.PathOf("bytes.safetensors"))
            .Failed(1, "expected floating-point numbers in 'image'", "found the type UInt8");
    }

    [Test]
    public void Noise_of_the_wrong_shape()
    {
        Decompose("--noise", work.WriteTensor("n.safetensors", "noise", [2, 3, 32, 32], new float[6144]))
            .Failed(1, "[N, 3, 32, 32] with N = 1 or 4", "found [2, 3, 32, 32]");
        Decompose("--noise", work.WriteTensor("n.safetensors", "noise", [1, 32, 32, 3], new float[3072])).Failed(1, "found [1, 32, 32, 3]");
        Decompose("--noise", work.WriteTensor("n.safetensors", "x", [1], new float[1])).Failed(1, "expected a tensor 'noise'");
        Decompose("--noise", Goldens.PathOf("A.pt")).Failed(1, "A.pt");
    }

    [TestCase("--steps 0", "a number of steps from 1 to the 1000 of training, found 0")]
    [TestCase("--steps 300", "300 steps do not divide the 1000 of training", "250 and 500")]
    [TestCase("--steps ten", "whole number", "'ten'")]
    [TestCase("--eta 2", "eta must be between 0 and 1")]
    [TestCase("--eta nan", "--eta takes a number")]
    [TestCase("--guidance 1e39", "--guidance takes a number", "'1e39'")]
    [TestCase("--sampler ddpm --eta 0.5", "ddpm")]
    [TestCase("--sampler euler", "--sampler takes ddim or ddpm", "'euler'")]
    [TestCase("--threads 0", "--threads takes a whole number from 1 to 1024")]
    [TestCase("--seed -1", "--seed takes a whole number of at least 0")]
    [TestCase("--precision bf16", "fp32", "--precision bf16")]
    [TestCase("--schedule linear --diffusion-steps 10", "at least 21 timesteps")]
    [TestCase("--crop 1,2,3", "X,Y,WIDTH,HEIGHT", "'1,2,3'")]
    [TestCase("--imgae x.png", "'--imgae'")]
    [TestCase("--image", "'--image'")]
    [TestCase("more", "'more'")]
    public void Bad_usage(string options, params string[] parts)
    {
        Rawdiffusion.Run(["decompose", "--out", work.Out, .. options.Split(' ')]).Failed(2, parts);
        Assert.That(Directory.Exists(work.Out), Is.False);
    }

    [Test]
    public void Empty_names()
    {
        Rawdiffusion.Run("decompose", "--out", "").Failed(2, "--out takes DIR");
        Rawdiffusion.Run("import", "").Failed(1, "no such file");
        Decompose("--image", "").Failed(1, "no such file");
    }

    [Test]
    public void What_this_machine_or_version_does_not_have()
    {
        // With a driver and without a GPU, or with neither: what was called, and what else there is.
        if (!DeviceOptions.HasGpu()) Decompose("--device", "cuda").Failed(1, "cuInit", "emulated");
        Decompose("--precision", "bf16", "--device", "cpu").Failed(2, "fp32", "bf16", "--device emulated");
    }

    [Test]
    public void A_crop_that_does_not_fit() =>
        Decompose("--image", Goldens.PathOf("images/synth_20x24.png"), "--crop", "10,0,30,0").Failed(1, "does not fit");

    private Outcome Decompose(params string[] options)
    {
        Outcome outcome = Rawdiffusion.Run(["decompose", "--threads", "1", "--out", work.Out, .. options]);
        Assert.That(outcome.ExitCode == 0 || !Directory.Exists(work.Out), "a failure leaves no folder");
        return outcome;
    }
}
