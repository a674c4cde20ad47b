using System.Text.Json;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class ImportTests : IDisposable
{
    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [TestCase("A.pt", "", "32 | 32 | 1,2 | 1 | 32 | 6 | 3 | 1 | 64 | False | True | 16 | 756903")]
    [TestCase("A.pt", "--num-head-channels 16", "32 | 32 | 1,2 | 1 | 32 | 6 | 3 | 4 | 16 | False | True | 16 | 756903")]
    [TestCase("B.pt", "--image-size 20 --num-heads 2", "20 | 16 | 1,2,2 | 1 | 24 | 6 | 5 | 2 |  | True | False | 10,5 | 337787")]
    [TestCase("B_legacy.pt", "", "24 | 16 | 1,2,2 | 1 | 24 | 6 | 5 |  |  | True | False | 12,6 | 337787")]
    [TestCase("B_ema.pt", "--num-heads 2", "24 | 16 | 1,2,2 | 1 | 24 | 6 | 5 | 2 |  | True | False | 12,6 | 337787")]
    public void Json_tells_the_architecture(string file, string options, string expected)
    {
        JsonElement json = Rawdiffusion.Run(
            ["import", Goldens.PathOf(file), "--json", .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries)]).Succeeded().Json;
        string[] names =
        [
            "image_size", "channels", "channel_mult", "num_res_blocks", "emb_dim", "enc_channels", "num_components", "num_heads",
                "num_head_channels",
            "use_scale_shift_norm", "resblock_updown", "attention_resolutions", "parameters",
        ];
        string found = string.Join(" | ", names.Select(name => json.GetProperty(name) switch
        {
            { ValueKind: JsonValueKind.Array } array => string.Join(",", array.EnumerateArray()),
            var value => value.ToString(),
        }));
        Assert.That(found, Is.EqualTo(expected));
    }

    [Test]
    public void Ema_weights_are_taken_or_left_as_asked()
    {
        string ema = Goldens.PathOf("B_ema.pt");
        Outcome text = Rawdiffusion.Run("import", ema).Succeeded();
        Assert.That(text.Out, Does.Contain("EMA weights taken (step 140001)").And.Contain("337,787").And.Contain("give --num-heads"));
        Assert.That(First("auto"), Is.EqualTo(First("ema")).And.Not.EqualTo(First("online")));

        float First(string weights)
        {
            string to = work.PathOf($"{weights}.safetensors");
            Rawdiffusion.Run("import", ema, "--weights", weights, "--to", to).Succeeded();
            using TensorFile file = SafeTensors.Open(to);
            return file["input_blocks.0.0.weight"].ToSingles()[0];
        }
    }

    [Test]
    public void Half_writes_floating_point_tensors_in_16_bits()
    {
        string to = work.PathOf("half.safetensors");
        Rawdiffusion.Run("import", Goldens.PathOf("A.pt"), "--to", to, "--half").Succeeded();
        using TensorFile whole = Checkpoint.Open(Goldens.PathOf("A.pt"), WeightSelection.Auto), half = SafeTensors.Open(to);
        foreach (string name in whole.Names)
        {
            bool floats = whole[name].Type == TensorType.Float32;
            Assert.That(half[name].Type, Is.EqualTo(floats ? TensorType.Float16 : whole[name].Type), name);
            if (floats) Assert.That(half[name].ToSingles(), Is.EqualTo(whole[name].ToSingles().Select(v => (float)(Half)v)), name);
        }
        Assert.That(Rawdiffusion.Run("import", Goldens.PathOf("A.pt"), "--half").ExitCode, Is.EqualTo(2));
    }

    [TestCase("A_f16.pt")]
    [TestCase("B_legacy.pt")]
    public void Weights_go_to_safetensors_and_back_unchanged(string file)
    {
        string safe = work.PathOf("there.safetensors"), back = work.PathOf("back.pt");
        Outcome outcome = Rawdiffusion.Run("import", Goldens.PathOf(file), "--to", safe, "--num-heads", "2", "--image-size", file[0] == 'B'
            ? "20" : "32", "--json").Succeeded();
        Assert.That(outcome.Json.GetProperty("written").GetString(), Is.EqualTo(safe));
        // The file remembers what shapes do not tell.
        JsonElement json = Rawdiffusion.Run("import", safe, "--to", back, "--json").Succeeded().Json;
        Assert.That((json.GetProperty("image_size").GetInt32(), json.GetProperty("num_heads").GetInt32()),
            Is.EqualTo((file[0] == 'B' ? 20 : 32, 2)));

        using TensorFile original = Checkpoint.Open(Goldens.PathOf(file)), copy = Checkpoint.Open(back);
        Assert.That(copy.Names, Is.EqualTo(original.Names));
        foreach (string name in original.Names)
        {
            Assert.That((copy[name].Type, copy[name].Shape), Is.EqualTo((original[name].Type, original[name].Shape)), name);
            Assert.That(copy[name].ToBytes(), Is.EqualTo(original[name].ToBytes()), name);
        }
    }

    [Test]
    public void What_shapes_do_not_tell_goes_to_PyTorch_and_back()
    {
        (string model, string pt, string back) = (
            work.PathOf("model.safetensors"), work.PathOf("model.pt"), work.PathOf("back.safetensors"));
        using (TensorFile weights = ClosedFormWeights.StateDict("A", ""))
        {
            SafeTensors.Write(model, weights.Names.Select(n => KeyValuePair.Create(n, weights[n])), new Dictionary<string, string>
            {
                ["rawdiffusion.trained"] = "true",
                ["rawdiffusion.image_size"] = "32",
                ["rawdiffusion.num_heads"] = "4",
                ["rawdiffusion.schedule"] = "linear",
                ["rawdiffusion.diffusion_steps"] = "100",
                ["rawdiffusion.predict"] = "eps",
            });
        }
        Assert.That(Rawdiffusion.Run("import", model, "--to", pt).Succeeded().Error, Is.Empty);
        Rawdiffusion.Run("import", pt, "--to", back).Succeeded();
        using (TensorFile first = SafeTensors.Open(model), last = SafeTensors.Open(back))
            Assert.That(last.Metadata, Is.EquivalentTo(first.Metadata));
        string image = work.WriteGolden("A", "x_start", "image");
        byte[] expected = Decomposed(model);
        Assert.That(Decomposed(pt), Is.EqualTo(expected));
        Assert.That(Decomposed(back), Is.EqualTo(expected));
        Assert.That(Decomposed(Goldens.PathOf("A.pt")), Is.Not.EqualTo(expected));

        byte[] Decomposed(string checkpoint)
        {
            string folder = work.PathOf(Path.GetFileName(checkpoint) + "-out");
            Rawdiffusion.Run("decompose", "--checkpoint", checkpoint, "--image", image, "--steps", "2", "--raw", "--seed", "3", "--out",
                folder).Succeeded();
            return File.ReadAllBytes(Path.Combine(folder, "result.safetensors"));
        }
    }

    [Test]
    public void What_a_conversion_loses_is_warned_about()
    {
        Outcome outcome = Rawdiffusion.Run("import", Goldens.PathOf("B_ema.pt"), "--to", work.PathOf("x.pt"), "--half").Succeeded();
        Assert.That(outcome.Error.ReplaceLineEndings("\n").TrimEnd('\n'), Does.Not.Contain("\n"));
        Assert.That(outcome.Error, Does.StartWith("warning: x.pt does not hold all of B_ema.pt: it lacks ").And.Contain(
            "(weights, ").And.Contain("the precision beyond float16"));
    }

    [Test]
    public void Non_finite_weights_are_warned_about()
    {
        Outcome outcome = Rawdiffusion.Run("import", work.WriteModel("nan.safetensors", "A", edit: WithNaN), "--json").Succeeded();
        Assert.That(outcome.Error, Does.Contain("warning: nan.safetensors").And.Contain("out.2.bias[0] is NaN"));
        Assert.That(outcome.Json.GetProperty("non_finite").EnumerateArray().Single().GetString(), Is.EqualTo("out.2.bias[0] is NaN"));
    }

    [Test]
    public void What_is_no_such_network_is_refused()
    {
        Rawdiffusion.Run("import", Goldens.PathOf("quirks.pt"), "--to", work.PathOf("x.safetensors"))
            .Failed(1, "expected a Decomp Diffusion checkpoint");
        Rawdiffusion.Run("import", Goldens.PathOf("A.safetensors")).Failed(1, "time_embed.0.weight");
        Rawdiffusion.Run("import", Goldens.PathOf("A.pt"), "--to", work.PathOf("x.bin")).Failed(2, ".safetensors or .pt");
        Rawdiffusion.Run("import", Goldens.PathOf("A.pt"), "--to", Goldens.PathOf("A.pt")).Failed(1, "overwrite an input");
        Rawdiffusion.Run("import", work.PathOf("missing.pt")).Failed(1, "no such file");
        Rawdiffusion.Run("import", work.Folder).Failed(1, "found the folder");
        Assert.That(Directory.GetFiles(work.Folder), Is.Empty);
    }

    /// <summary>An edit that puts a NaN into the last bias.</summary>
    internal static Tensor WithNaN(string name, Tensor tensor) =>
        name == "out.2.bias" ? Tensor.FromSingles(tensor.Shape, [float.NaN, 0, 0]) : tensor;
}
