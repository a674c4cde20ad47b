using System.Text.Json;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ShippedModelTests
{
    [Test]
    public void The_models_that_ship_are_trained_and_small()
    {
        string folder = Path.GetDirectoryName(DefaultFiles.Model())!;
        string[] files = Directory.GetFiles(folder, "*.safetensors");
        Assert.That(files, Has.Length.GreaterThanOrEqualTo(2));
        Assert.That(files.Sum(f => new FileInfo(f).Length), Is.LessThan(12_000_000));
        foreach (string file in files)
        {
            using TensorFile weights = SafeTensors.Open(file);
            Assert.That(weights.Metadata["rawdiffusion.trained"], Is.EqualTo("true"), file);
            Assert.That(ArchitectureInference.Infer(weights).ImageSize, Is.EqualTo(32), file);
        }
    }

    /// <summary>What their cards say (weights/README.md), on a few images that training does not have.</summary>
    [TestCase("shapes")]
    [TestCase("sos")]
    public void The_models_that_ship_draw_each_object_in_a_factor_of_its_own(string set)
    {
        using var workspace = new Workspace();
        string model = Path.Combine(Path.GetDirectoryName(DefaultFiles.Model())!, $"{set}.safetensors");
        JsonElement json = Rawdiffusion.Run("evaluate", "--checkpoint", model, "--data", set, "--count", "12", "--steps", "20", "--threads",
            "1", "--out", workspace.Out, "--json").Succeeded().Json;
        Assert.That(json.GetProperty("reconstruction").GetProperty("psnr").GetDouble(), Is.GreaterThan(25));
        Assert.That(json.GetProperty("objects").GetProperty("found").GetDouble(), Is.GreaterThan(0.7));
    }

    /// <summary>But for what vectors of another width round differently.</summary>
    [Test]
    public void The_picture_of_the_readme_is_what_the_command_draws()
    {
        using var workspace = new Workspace();
        Rawdiffusion.Run("decompose", "--threads", "1", "--out", workspace.Out).Succeeded();
        Image drawn = ImageFile.Read(Path.Combine(workspace.Out, "sample.png"));
        Image shown = ImageFile.Read(Path.Combine(Path.GetDirectoryName(DefaultFiles.Model())!, "decomposition.png"));
        Assert.That((drawn.Width, drawn.Height), Is.EqualTo((shown.Width, shown.Height)));
        Assert.That(drawn.Samples.Zip(shown.Samples, (d, s) => Math.Abs(d - s)).Max(), Is.LessThanOrEqualTo(2));
    }
}
