using System.Text.Json;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Formats.Images;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class EvaluateTests : IDisposable
{
    private static readonly string[] Quick = ["--steps", "2", "--threads", "1"];

    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [Test]
    public void A_procedural_set_is_measured_with_its_objects()
    {
        Outcome outcome = Rawdiffusion.Run(
            ["evaluate", "--data", "tetris", "--count", "5", "--rows", "3", .. Quick, "--json", "--out", work.Out]).Succeeded();
        JsonElement json = outcome.Json, objects = json.GetProperty("objects");
        Assert.That(json.GetProperty("images").GetInt32(), Is.EqualTo(5));
        Assert.That(json.GetProperty("by_image").GetArrayLength(), Is.EqualTo(5));
        double mse = json.GetProperty("by_image").EnumerateArray().Average(i => i.GetProperty("mse").GetDouble());
        Assert.That(json.GetProperty("reconstruction").GetProperty("mse").GetDouble(), Is.EqualTo(mse).Within(1e-12));
        Assert.That(json.GetProperty("reconstruction").GetProperty("ssim").GetDouble(), Is.InRange(-1, 1));
        // Tetris draws three pieces in each image.
        Assert.That(objects.GetProperty("count").GetInt32(), Is.EqualTo(15));
        Assert.That(objects.GetProperty("found").GetDouble(), Is.InRange(0, 1));
        Assert.That(json.GetProperty("attributes").GetProperty("samples").GetInt32(), Is.EqualTo(15));
        Assert.That(json.GetProperty("attributes").GetProperty("mcc").GetDouble(), Is.InRange(0, 1));

        Assert.That(work.Results, Is.EqualTo(new[] { "evaluation.json", "sheet.png" }));
        JsonElement file = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(work.Out, "evaluation.json"))).RootElement;
        Assert.That(file.GetProperty("objects").GetRawText(), Is.EqualTo(objects.GetRawText()));
        int components = json.GetProperty("num_components").GetInt32(), size = json.GetProperty("image_size").GetInt32();
        Image sheet = ImageFile.Read(Path.Combine(work.Out, "sheet.png"));
        Assert.That((sheet.Width, sheet.Height), Is.EqualTo(((components + 2) * (size + 2) - 2, 3 * (size + 2) - 2)));
    }

    [Test]
    public void Pictures_are_measured_without_objects_and_broken_ones_left_out()
    {
        Directory.CreateDirectory(work.PathOf("pictures"));
        File.Copy(Goldens.PathOf("images/synth_20x24.png"), work.PathOf("pictures/a.png"));
        File.Copy(Goldens.PathOf("images/synth_97x61.png"), work.PathOf("pictures/c.png"));
        work.Write("pictures/b.png", [1, 2, 3]);
        string[] arguments = ["evaluate", "--data", work.PathOf("pictures"), .. Quick, "--out", work.Out];
        Outcome outcome = Rawdiffusion.Run(arguments).Succeeded();
        Assert.That(outcome.Error, Does.Contain("b.png is skipped: "));
        Assert.That(outcome.Out, Does.Contain("PSNR").And.Contain("evaluated 2 images, 1 left out,").And.Not.Contain("IoU"));
        Rawdiffusion.Run([.. arguments, "--strict"]).Failed(1, "b.png");

        // The picture's own error is that of its tiles on the sheet, but for their rounding.
        JsonElement json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(work.Out, "evaluation.json"))).RootElement;
        Image sheet = ImageFile.Read(Path.Combine(work.Out, "sheet.png"));
        int size = json.GetProperty("image_size").GetInt32(), right = sheet.Width - size;
        for (int row = 0; row < 2; row++)
        {
            byte[] input = sheet.Crop(0, row * (size + 2), size, size).Samples, output = sheet.Crop(
                right, row * (size + 2), size, size).Samples;
            double mse = input.Zip(output, (a, b) => Math.Pow((a - b) / 255.0, 2)).Average();
            Assert.That(json.GetProperty("by_image")[row].GetProperty("mse").GetDouble(), Is.EqualTo(mse).Within(0.01 * mse));
        }
    }

    [Test]
    public void Knobs_bite()
    {
        string[] arguments = ["evaluate", "--data", "shapes", "--count", "2", .. Quick, "--json", "--out", work.Out];
        JsonElement plain = Rawdiffusion.Run(arguments).Succeeded().Json;
        Assert.That(Number(Rawdiffusion.Run([.. arguments, "--mask-threshold", "0"]), "objects", "ari"),
            Is.Not.EqualTo(plain.GetProperty("objects").GetProperty("ari").GetDouble()));
        foreach (string[] knob in (string[][])[["--split", "train"], ["--seed", "1"], ["--start", "1"]])
        {
            Assert.That(Number(Rawdiffusion.Run([.. arguments, .. knob]), "reconstruction", "mse"),
                Is.Not.EqualTo(plain.GetProperty("reconstruction").GetProperty("mse").GetDouble()), knob[0]);
        }

        static double Number(Outcome outcome, string part, string name) =>
            outcome.Succeeded().Json.GetProperty(part).GetProperty(name).GetDouble();
    }

    [Test]
    public void FID_of_few_images_says_that_it_means_little([Values(2047, 2048)] int count)
    {
        using ImageSet set = ImageSets.Open("tetris", new ImageSetOptions { Count = 2 });
        UNetConfig config = Presets.Default with { ImageSize = 16, NumComponents = 1 };
        var found = new SetEvaluation(set, config, 0.1, 0) { Fid = 1, Kid = (1, 0) };
        var nothing = new Decomposition(new float[768], new float[768]);
        for (int i = 0; i < count; i++) found.Add([(0, new float[768], null)], new float[config.LatentDim], nothing);
        string? said = EvaluationReport.FewImages(found);
        if (count < 2048) Assert.That(said, Does.Contain("fewer than 2048 images mean little").And.Contain("2047"));
        else Assert.That(said, Is.Null);
        found.Fid = null;
        Assert.That(EvaluationReport.FewImages(found), Is.Null);
    }

    [Test]
    public void Mistakes_are_named()
    {
        Rawdiffusion.Run("evaluate").Failed(2, "--data", "tetris");
        Rawdiffusion.Run("evaluate", "--data", "tetris", "--mask-threshold", "-1").Failed(2, "--mask-threshold", "-1");
        Rawdiffusion.Run("evaluate", "--data", work.PathOf("nothing")).Failed(1, "nothing");
        Rawdiffusion.Run("evaluate", "--data", "tetris", "--lpips", work.PathOf("none.pth")).Failed(1, "none.pth");
        string empty = work.WriteTensor("empty.safetensors", "other", [1], [0]);
        Rawdiffusion.Run("evaluate", "--data", "tetris", "--lpips", empty).Failed(1, "VGG16", "0.weight");
        Rawdiffusion.Run("evaluate", "--data", "tetris", "--inception", empty).Failed(1, "Inception", "Conv2d_1a_3x3.conv.weight");
        work.Write("broken.png", [1, 2, 3]);
        Rawdiffusion.Run("evaluate", "--data", work.PathOf("broken.png"), "--out", work.Out)
            .Failed(1, "none of the 1 images can be read", "broken.png");
        Assert.That(Directory.Exists(work.Out), Is.False);
    }
}
