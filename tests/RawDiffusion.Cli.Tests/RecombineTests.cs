using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class RecombineTests : IDisposable
{
    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [TestCase("slice", "--pick 1,0,1")]
    [TestCase("add", "--average")]
    [TestCase("cross", "--pick 1,0,1")]
    public void Combinations_are_the_authors(string golden, string options)
    {
        string[] second = golden == "cross" ? ["--checkpoint2", work.WriteModel("second.safetensors", "A", "x2/")] : [];
        Outcome outcome = Rawdiffusion.Run(
            ["recombine", "--checkpoint", Goldens.PathOf("A.pt"), .. second, "--num-head-channels", "16", .. options.Split(' '),
            "--image", work.WriteGolden("A", "x_start", "image"), "--noise", work.WriteGoldenNoiseOfFirst("A"),
            "--raw", "--separate", "--threads", "1", "--json", "--out", work.Out]).Succeeded();
        using TensorFile result = SafeTensors.Open(Path.Combine(work.Out, "result.safetensors"));
        using TensorFile goldens = Goldens.Open("A");
        string name = $"official.combine_{golden}.final";
        Comparer.RequireClose(name, goldens[name], result["reconstruction"].Shape, result["reconstruction"].ToSingles(),
            Goldens.ToleranceOf("A", name));
        Assert.That(result["latent"].Shape, Is.EqualTo(new[] { 2, 3, 16 }));
        Assert.That(work.Results, Is.EqualTo(new[]
        {
            "recombination.png", "recombination_input0.png", "recombination_input1.png", "recombination_result.png", "result.safetensors",
        }));
        Assert.That(outcome.Json.GetProperty("method").GetString(), Is.EqualTo(golden == "add" ? "average" : "pick"));
    }

    [Test]
    public void The_second_model_can_have_its_own_heads()
    {
        string second = work.WriteModel("second.safetensors", "A", "x2/");
        string[] pictures = [Goldens.PathOf("images/synth_20x24.png"), Goldens.PathOf("images/synth_97x61.png")];
        float[] same = Result("--num-head-channels", "16");
        Assert.That(Result("--num-head-channels", "16", "--num-heads2", "4"), Is.EqualTo(same), "64 channels in 4 heads of 16");
        Assert.That(Result("--num-head-channels", "16", "--num-heads2", "2"), Is.Not.EqualTo(same));
        Assert.That(Result("--num-head-channels", "16", "--num-head-channels2", "32"),
            Is.EqualTo(Result("--num-heads", "4", "--num-heads2", "2")));

        float[] Result(params string[] options)
        {
            Rawdiffusion.Run(["recombine", "--checkpoint", Goldens.PathOf("A.pt"), "--checkpoint2", second, "--image",
                .. pictures, .. options,
                "--steps", "2", "--threads", "1", "--raw", "--out", work.Out]).Succeeded();
            using TensorFile result = SafeTensors.Open(Path.Combine(work.Out, "result.safetensors"));
            return result["reconstruction"].ToSingles();
        }
    }

    [Test]
    public void The_usual_pick_is_half_of_each_image_and_a_third_image_can_be_picked()
    {
        string[] pictures = [Goldens.PathOf("images/synth_20x24.png"), Goldens.PathOf("images/synth_97x61.png"),
            Goldens.PathOf("images/synth_240x320.png")];
        Assert.That(Result([.. pictures[..2]]), Is.EqualTo(Result([.. pictures[..2], "--pick", "1,1,0"])));
        Assert.That(Result([.. pictures, "--pick", "1,2,0"]),
            Is.EqualTo(Result([pictures[0], pictures[1], pictures[2], pictures[2], "--pick", "1,3,0"])));
        Assert.That(Result([.. pictures, "--pick", "1,2,0"]), Is.Not.EqualTo(Result([.. pictures, "--pick", "1,0,0"])));
        Assert.That(Result([.. pictures, "--average"]), Is.Not.EqualTo(Result([.. pictures[..2], "--average"])));

        float[] Result(string[] options)
        {
            Rawdiffusion.Run(["recombine", "--image", .. options, "--steps", "2", "--threads", "1", "--raw", "--out",
                work.Out]).Succeeded();
            using TensorFile result = SafeTensors.Open(Path.Combine(work.Out, "result.safetensors"));
            return result["reconstruction"].ToSingles();
        }
    }

    [Test]
    public void The_index_decides_the_noise()
    {
        string picture = Goldens.PathOf("images/synth_20x24.png"), other = Goldens.PathOf("images/synth_97x61.png");
        byte[] zero = Result(0);
        Assert.That(Result(null), Is.EqualTo(zero));
        Assert.That(Result(7), Is.Not.EqualTo(zero));

        byte[] Result(int? index)
        {
            string[] option = index is null ? [] : ["--first-index", $"{index}"];
            Outcome outcome = Rawdiffusion.Run(["recombine", "--image", picture, other, .. option, "--sampler", "ddpm", "--steps", "2",
                "--threads", "1", "--json", "--out", work.Out]).Succeeded();
            Assert.That(outcome.Json.GetProperty("first_index").GetInt32(), Is.EqualTo(index ?? 0));
            return File.ReadAllBytes(Path.Combine(work.Out, "recombination.png"));
        }
    }

    [Test]
    public void Models_that_predict_different_things_are_refused_unless_the_command_knows_better()
    {
        string picture = Goldens.PathOf("images/synth_20x24.png"), noise = work.PathOf("eps.safetensors");
        using (TensorFile file = Checkpoint.Open(Goldens.PathOf("A.pt")))
        {
            SafeTensors.Write(noise, file.Names.Select(n => KeyValuePair.Create(n, file[n])),
                new Dictionary<string, string> { ["rawdiffusion.predict"] = "eps" });
        }
        string[] command = ["recombine", "--checkpoint", Goldens.PathOf("A.pt"), "--checkpoint2", noise, "--image", picture, picture,
            "--pick", "1,0,1", "--steps", "1", "--threads", "1", "--out", work.Out];
        Rawdiffusion.Run(command).Failed(1, "two models that predict the same, found xstart in", "eps in");
        Rawdiffusion.Run([.. command, "--predict", "eps"]).Succeeded();
    }

    [TestCase("--pick 1,0", "--pick takes 3 numbers")]
    [TestCase("--pick 1,0,2", "'2'")]
    [TestCase("--pick 1,0,x", "'x'")]
    [TestCase("--pick 1,0,-1", "'-1'")]
    [TestCase("--pick 1,0,1 --average", "not both")]
    public void Picks_that_cannot_be_are_bad_usage(string options, string part)
    {
        string picture = Goldens.PathOf("images/synth_20x24.png");
        Rawdiffusion.Run(["recombine", "--image", picture, picture, .. options.Split(' '), "--out", work.Out]).Failed(2, part);
        Assert.That(Directory.Exists(work.Out), Is.False);
    }

    [Test]
    public void Images_and_models_that_do_not_go_together_are_refused()
    {
        string picture = Goldens.PathOf("images/synth_20x24.png"), a = Goldens.PathOf("A.pt");
        Rawdiffusion.Run("recombine", "--image", picture, "--out", work.Out).Failed(2, "at least two images", "found 1");
        Rawdiffusion.Run("recombine", "--image", picture, picture, picture, "--out", work.Out).Failed(2, "3 images need --pick");
        Rawdiffusion.Run("recombine", "--checkpoint2", a, "--image", picture, picture, picture, "--out", work.Out)
            .Failed(2, "expected two images with --checkpoint2");
        Rawdiffusion.Run("recombine", "--checkpoint", a, "--checkpoint2", Goldens.PathOf("B.pt"), "--num-heads", "2", "--image", picture,
            picture, "--out", work.Out)
            .Failed(1, "32 x 32 pixels and 3 factors", "24 x 24 and 5");
        Assert.That(Directory.Exists(work.Out), Is.False);
    }
}
