using System.Text.Json;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DecomposeTests : IDisposable
{
    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [TestCase("A", "--num-head-channels 16")]
    [TestCase("B", "--image-size 20 --num-heads 2")]
    public void Factors_and_reconstructions_are_the_authors(string config, string architecture)
    {
        string images = work.WriteGolden(config, "x_start", "image");
        Rawdiffusion.Run(["decompose", "--checkpoint", Goldens.PathOf(config + ".pt"), .. architecture.Split(' '), "--image", images,
            "--noise", work.WriteGoldenNoise(config), "--raw", "--threads", "1", "--out", work.Out]).Succeeded();

        using TensorFile result = SafeTensors.Open(Path.Combine(work.Out, "result.safetensors"));
        using TensorFile golden = Goldens.Open(config);
        IReadOnlyList<int> shape = result["factors"].Shape;
        (int batch, int components) = (shape[0], shape[1]);
        float[][] factors = [.. result["factors"].ToSingles().Chunk(shape[2] * shape[3] * shape[4])];
        Check("ddim.mean.final", result["reconstruction"].ToSingles(), result["reconstruction"].Shape);
        Check("latent", result["latent"].ToSingles(), [batch, components * result["latent"].Shape[2]]);
        Assert.That(result["input"].ToSingles(), Is.EqualTo(golden["x_start"].ToSingles()));
        for (int k = 0; k < components; k++)
        {
            int kept = golden[$"ddim.comp{k}.final"].Shape[0];
            Check($"ddim.comp{k}.final", [.. Enumerable.Range(0, kept).SelectMany(b => factors[b * components + k])],
                [kept, .. shape.Skip(2)]);
        }

        void Check(string name, float[] found, IReadOnlyList<int> foundShape) =>
            Comparer.RequireClose($"{config} {name}", golden[name], foundShape, found, Goldens.ToleranceOf(config, name));
    }

    [Test]
    public void The_emulator_does_without_NVRTC()
    {
        string[] command =
        [
            "decompose", "--checkpoint", Goldens.PathOf("A.pt"), "--image", Goldens.PathOf(
                "images/synth_20x24.png"), "--device", "emulated",
            "--sampler", "ddpm", "--guidance", "10", "--steps", "1", "--precision", "bf16", "--out", work.Out,
        ];
        Rawdiffusion.RunProcess(command, (NativeLibraryFile.NvrtcVariable, "off"),
            (KernelCache.FolderVariable, work.PathOf("kernels"))).Succeeded();
        Assert.That(work.Results, Is.Not.Empty);
    }

    [Test]
    public void A_row_is_the_authors_picture()
    {
        string images = work.WriteGolden("A", "x_start", "image");
        Rawdiffusion.RunProcess("decompose", "--checkpoint", Goldens.PathOf("A.pt"), "--num-head-channels", "16", "--image", images,
            "--noise", work.WriteGoldenNoise("A"), "--threads", "1", "--separate", "--out", work.Out).Succeeded();
        string[] tiles = ["", "_factor0", "_factor1", "_factor2", "_input", "_reconstruction"];
        Assert.That(work.Results, Is.EquivalentTo(from b in new[] { 0, 1 } from t in tiles select $"image_{b}{t}.png"));
        Image expected = ImageFile.Read(Goldens.PathOf("A_official_row.png")), found = ImageFile.Read(
            Path.Combine(work.Out, "image_0.png"));
        Assert.That((found.Width, found.Height, found.Channels), Is.EqualTo((expected.Width, expected.Height, expected.Channels)));
        int[] off = [.. expected.Samples.Zip(found.Samples, (a, b) => Math.Abs(a - b))];
        Assert.That(off.Max(), Is.LessThanOrEqualTo(1));
        Assert.That(off.Count(d => d == 1), Is.LessThan(off.Length / 100));
        Image factor1 = ImageFile.Read(Path.Combine(work.Out, "image_0_factor1.png"));
        Assert.That(factor1.Samples, Is.EqualTo(found.Crop(64, 0, 32, 32).Samples));
    }

    [Test]
    public void A_model_of_random_weights_says_that_it_is_untrained()
    {
        string path = work.PathOf("random.safetensors");
        using (TensorFile weights = ClosedFormWeights.StateDict("tiny_cf", ""))
        {
            SafeTensors.Write(path, weights.Names.Select(n => KeyValuePair.Create(n, weights[n])),
                new Dictionary<string, string> { ["rawdiffusion.trained"] = "false" });
        }
        Outcome outcome = Rawdiffusion.Run("decompose", "--checkpoint", path, "--steps", "1", "--threads", "1", "--json", "--out",
            work.Out).Succeeded();
        Assert.That(outcome.Error, Does.Contain("random.safetensors is UNTRAINED"));
        Assert.That(outcome.Json.GetProperty("trained").GetBoolean(), Is.False);
    }

    [Test]
    public void Without_arguments_the_default_model_decomposes_the_sample()
    {
        Outcome outcome = Rawdiffusion.Run("decompose", "--steps", "2", "--threads", "1", "--json", "--out", work.Out).Succeeded();
        Assert.That(outcome.Error, Does.Not.Contain("UNTRAINED"));
        Assert.That(outcome.Json.GetProperty("trained").GetBoolean(), Is.True);
        Assert.That(outcome.Json.GetProperty("files").EnumerateArray().Select(f => f.GetString()),
            Is.EqualTo(new[] { Path.Combine(work.Out, "sample.png") }));
        Image row = ImageFile.Read(Path.Combine(work.Out, "sample.png"));
        Assert.That((row.Width, row.Height), Is.EqualTo((5 * 32, 32)));
        float[] input = ImageConvert.ToChw(ImageFile.Read(Goldens.Folder + "/../../weights/sample.png"), 32);
        Assert.That(row.Crop(0, 0, 32, 32).Samples, Is.EqualTo(ImageConvert.FromChw(input, 3, 32, 32).Samples));
    }

    [TestCase("ddim")]
    [TestCase("ddpm")]
    public void An_image_depends_on_its_index_and_not_on_the_others(string sampler)
    {
        string a = Goldens.PathOf("images/synth_20x24.png"), b = Goldens.PathOf("images/synth_97x61.png");
        // More images than are sampled at once, so that there are two parts of different sizes.
        Rawdiffusion.Run("decompose", "--image", a, b, a, a, b, a, b, "--sampler", sampler, "--steps", "2", "--threads", "1", "--out",
            work.Out).Succeeded();
        Assert.That(work.Results, Has.Length.EqualTo(7).And.Contain("synth_20x24-2.png").And.Contain("synth_97x61-3.png"));
        byte[][] alone = [.. new[] { 0, 1, 4, 6 }.Select(Alone)];
        Assert.That(alone.Select(Convert.ToHexString).Distinct().Count(), Is.EqualTo(4), "each index has noise of its own");
        foreach ((string name, int i) in new[] { ("synth_97x61.png", 1), ("synth_97x61-2.png", 2), ("synth_97x61-3.png", 3) })
            Assert.That(File.ReadAllBytes(Path.Combine(work.Out, name)), Is.EqualTo(alone[i]), name);

        byte[] Alone(int index)
        {
            string folder = work.PathOf($"alone{index}");
            Outcome outcome = Rawdiffusion.Run("decompose", "--image", b, "--first-index", $"{index}", "--sampler", sampler, "--steps", "2",
                "--threads", "1", "--json", "--out", folder).Succeeded();
            Assert.That(outcome.Json.GetProperty("first_index").GetInt32(), Is.EqualTo(index));
            return File.ReadAllBytes(Path.Combine(folder, "synth_97x61.png"));
        }
    }

    [TestCase("ddim", "0.7")]
    [TestCase("ddpm", "0")]
    public void The_same_seed_gives_the_same_bytes_whatever_the_threads(string sampler, string eta)
    {
        byte[][] results = [Sample("1", "3"), Sample("2", "3"), Sample("1", "4")];
        Assert.That(results[1], Is.EqualTo(results[0]), "2 threads");
        Assert.That(results[2], Is.Not.EqualTo(results[0]), "another seed");

        byte[] Sample(string threads, string seed)
        {
            string folder = work.PathOf($"{threads}-{seed}");
            Rawdiffusion.RunProcess("decompose", "--sampler", sampler, "--eta", eta, "--steps", "2", "--seed", seed, "--threads", threads,
                "--raw", "--out", folder).Succeeded();
            return [.. File.ReadAllBytes(Path.Combine(folder, "result.safetensors")),
                .. File.ReadAllBytes(Path.Combine(folder, "sample.png"))];
        }
    }

    [TestCase("--sampler ddpm --steps 4")]
    [TestCase("--steps 5")]
    [TestCase("--steps 4 --eta 0.5")]
    [TestCase("--steps 4 --guidance 3")]
    [TestCase("--steps 4 --no-clip")]
    [TestCase("--steps 4 --predict eps")]
    [TestCase("--steps 4 --schedule linear")]
    [TestCase("--steps 4 --diffusion-steps 400")]
    [TestCase("--steps 4 --predict v")]
    [TestCase("--steps 4 --seed 1")]
    [TestCase("--steps 4 --first-index 1")]
    [TestCase("--steps 4 --num-head-channels 16")]
    public void Every_knob_bites(string options)
    {
        Assert.That(Raw(work.PathOf("other"), options.Split(' ')), Is.Not.EqualTo(Raw(work.Out, "--steps", "4")));

        static float[] Raw(string folder, params string[] options)
        {
            Rawdiffusion.Run(["decompose", "--checkpoint", Goldens.PathOf("A.pt"), .. options, "--threads", "1", "--raw", "--out",
                folder]).Succeeded();
            using TensorFile result = SafeTensors.Open(Path.Combine(folder, "result.safetensors"));
            return result["reconstruction"].ToSingles();
        }
    }

    [Test]
    public void The_full_ddpm_chain_has_all_training_steps()
    {
        JsonElement json = Rawdiffusion.Run("decompose", "--sampler", "ddpm", "--diffusion-steps", "30", "--threads", "1", "--json",
            "--out", work.Out).Succeeded().Json;
        Assert.That(json.GetProperty("steps").GetInt32(), Is.EqualTo(30));
    }

    [Test]
    public void A_guidance_of_1_changes_nothing()
    {
        string[] common = ["decompose", "--steps", "4", "--threads", "1", "--out"];
        Rawdiffusion.Run([.. common, work.Out]).Succeeded();
        Rawdiffusion.Run([.. common, work.PathOf("guided"), "--guidance", "1"]).Succeeded();
        Assert.That(File.ReadAllBytes(work.PathOf("guided/sample.png")),
            Is.EqualTo(File.ReadAllBytes(Path.Combine(work.Out, "sample.png"))));
    }

    [Test]
    public void A_crop_takes_part_of_the_picture()
    {
        string picture = Goldens.PathOf("images/synth_97x61.png");
        Rawdiffusion.Run("decompose", "--image", picture, "--crop", "10,20,30,0", "--steps", "1", "--threads", "1", "--separate", "--out",
            work.Out).Succeeded();
        Image whole = ImageFile.Read(picture);
        float[] expected = ImageConvert.ToChw(whole.Crop(10, 20, 30, whole.Height - 20), 32);
        Assert.That(ImageFile.Read(Path.Combine(work.Out, "synth_97x61_input.png")).Samples,
            Is.EqualTo(ImageConvert.FromChw(expected, 3, 32, 32).Samples));
    }

    [Test]
    public void One_noise_serves_all_and_one_for_each_image_serves_its_trajectories()
    {
        int length = 3 * 32 * 32;
        float[] first = [.. Enumerable.Range(0, length).Select(i => MathF.Sin(i))], second = [.. first.Select(x => -x)];
        string two = work.WriteTensor("two.safetensors", "image", [2, 3, 32, 32], new float[2 * length]);
        float[] shared = Raw(work.WriteTensor("1.safetensors", "noise", [1, 3, 32, 32], first));
        float[] byImage = Raw(work.WriteTensor("2.safetensors", "noise", [2, 3, 32, 32], [.. first, .. second]));
        float[] byTrajectory = Raw(work.WriteTensor("8.safetensors", "noise", [8, 3, 32, 32],
            [.. Enumerable.Repeat(first, 4).Concat(Enumerable.Repeat(second, 4)).SelectMany(x => x)]));
        Assert.That(byTrajectory, Is.EqualTo(byImage));
        Assert.That(byImage[..(3 * length)], Is.EqualTo(shared[..(3 * length)]));
        Assert.That(byImage[(3 * length)..], Is.Not.EqualTo(shared[(3 * length)..]));

        float[] Raw(string noise)
        {
            Rawdiffusion.Run("decompose", "--image", two, "--noise", noise, "--steps", "2", "--threads", "1", "--raw", "--out",
                work.Out).Succeeded();
            using TensorFile result = SafeTensors.Open(Path.Combine(work.Out, "result.safetensors"));
            return result["factors"].ToSingles();
        }
    }
}
