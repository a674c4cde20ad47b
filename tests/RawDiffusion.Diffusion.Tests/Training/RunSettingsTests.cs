using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Training;

/// <summary>Every setting goes to a file and back, and changes what is trained or how it is kept.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class RunSettingsTests : IDisposable
{
    // Another value of each setting, and of others with it where it would mean nothing alone.
    private static readonly Dictionary<string, string> Others = new()
    {
        ["data"] = "shapes",
        ["base"] = "/somewhere",
        ["crop"] = "1,2,8,0",
        ["start"] = "3",
        ["count"] = "7",
        ["orientation"] = "raw",
        ["strict"] = "on",
        ["cache"] = "off",
        ["image_size"] = "32",
        ["num_channels"] = "32",
        ["channel_mult"] = "1,2",
        ["num_res_blocks"] = "2",
        ["emb_dim"] = "16",
        ["enc_channels"] = "6",
        ["num_components"] = "3",
        ["attention_resolutions"] = "16,8",
        ["num_heads"] = "2",
        ["num_head_channels"] = "8",
        ["scale_shift_norm"] = "on",
        ["resblock_updown"] = "off",
        ["init"] = "/somewhere/model.pt",
        ["batch"] = "4",
        ["accumulate"] = "2",
        ["steps"] = "4",
        ["lr"] = "0.0003",
        ["warmup"] = "2",
        ["decay"] = "linear",
        ["beta1"] = "0.8",
        ["beta2"] = "0.9",
        ["epsilon"] = "0.001",
        ["weight_decay"] = "0.1",
        ["adamw"] = "on",
        ["clip_norm"] = "0.01",
        ["ema"] = "0.5",
        ["predict"] = "eps",
        ["downweight"] = "on",
        ["latent_orthog"] = "on",
        ["p_uncond"] = "0.5",
        ["dropout"] = "0.3",
        ["schedule"] = "linear",
        ["diffusion_steps"] = "100",
        ["seed"] = "1",
        ["save_every"] = "2",
        ["log_every"] = "2",
        ["sample_every"] = "2",
        ["keep"] = "1",
        ["device"] = "cpu",
        ["precision"] = "bf16",
        ["threads"] = "2",
        ["guard"] = "on",
        ["recompute"] = "on",
    };

    // What they are shown by elsewhere: a test of the command, or of another part of a run.
    private static readonly string[] ShownElsewhere =
        ["data", "base", "crop", "orientation", "strict", "cache", "init", "save_every", "log_every", "sample_every", "keep", "device",
        "precision", "threads", "guard", "recompute"];

    private readonly string root = Path.Combine(Path.GetTempPath(), $"rawdiffusion-{Guid.NewGuid():n}");

    public RunSettingsTests() => Directory.CreateDirectory(root);

    public void Dispose() => Directory.Delete(root, recursive: true);

    private static IEnumerable<string> Names => RunSettings.All.Select(s => s.Name);

    private static IEnumerable<string> Trained => Names.Except(ShownElsewhere);

    [TestCaseSource(nameof(Names))]
    public void Each_setting_goes_to_a_file_and_back(string name)
    {
        RunSetting setting = RunSettings.Named(name);
        RunConfig config = setting.Set(Runs.Config, Others[name]);
        Assert.That(setting.Get(config), Is.EqualTo(Others[name]).And.Not.EqualTo(setting.Get(Runs.Config)));
        RunConfigFile.Write(PathOf("config.json"), config);
        RunConfig read = RunConfigFile.Read(PathOf("config.json"));
        Assert.That(RunSettings.All.Select(s => s.Get(read)), Is.EqualTo(RunSettings.All.Select(s => s.Get(config))));
    }

    [TestCaseSource(nameof(Trained))]
    public void Each_setting_changes_what_is_trained(string name)
    {
        // What must be on for the setting to mean something.
        RunConfig config = name switch
        {
            "warmup" or "decay" or "steps" => Runs.Config with { Training = Runs.Config.Training with { Decay = RateDecay.Cosine } },
            "adamw" => Runs.Config with { Training = Runs.Config.Training with { Adam = new() { WeightDecay = 0.1 } } },
            "accumulate" => Runs.Config with { Training = Runs.Config.Training with { BatchSize = 4 } },
            _ => Runs.Config,
        };
        // The average is a copy of the parameters for 100 steps.
        if (name == "ema") config = config with { Training = config.Training with { Steps = 104 } };
        Assert.That(Model(RunSettings.Named(name).Set(config, Others[name]), "b"), Is.Not.EqualTo(Model(config, "a")));
    }

    [Test]
    public void Each_set_is_another()
    {
        RunConfig config = Runs.Config;
        string Identity(RunConfig c)
        {
            using ImageSet set = c.OpenImages();
            return set.Identity;
        }
        Assert.That(Identity(RunSettings.Named("data").Set(config, "shapes")), Is.Not.EqualTo(Identity(config)));
        Directory.CreateDirectory(PathOf("tetris_images_32"));
        Formats.Images.ImageFile.WritePng(PathOf("tetris_images_32", "a.png"), new(8, 8, 3, 8, new byte[192]));
        RunConfig based = RunSettings.Named("base").Set(config, root);
        Assert.That(Identity(based), Does.Contain("a.png"));
        RunConfig folder = config with { Data = root };
        Assert.That(Identity(RunSettings.Named("crop").Set(folder, "1,2,4,0")), Does.Contain("1,2,4,0"));
    }

    [TestCase("""{"batch": 0}""", "'batch' takes a whole number of at least 1, found '0'")]
    [TestCase("""{"lr": "fast"}""", "'lr' takes a number of at least 0, found 'fast'")]
    [TestCase("""{"lr": -1}""", "'lr' takes")]
    [TestCase("""{"p_uncond": 1.5}""", "from 0 to 1")]
    [TestCase("""{"dropout": 1}""", "'dropout' takes a number from 0 to 0.999, found '1'")]
    [TestCase("""{"dropout": -0.1}""", "'dropout' takes")]
    [TestCase("""{"decay": "sudden"}""", "none, cosine or linear, found 'sudden'")]
    [TestCase("""{"adamw": 3}""", "on or off, found '3'")]
    [TestCase("""{"channel_mult": [1, 0]}""", "of at least 1, found '0'")]
    [TestCase("""{"channel_mult": {"a": 1}}""", "an array of numbers")]
    [TestCase("""{"crop": [1, 2]}""", "X,Y,WIDTH,HEIGHT")]
    [TestCase("""{"learning_rate": 1}""", "there is no setting 'learning_rate'", "lr, warmup")]
    [TestCase("""{"preset": "imagenet"}""", "there is no preset 'imagenet'")]
    [TestCase("""[1]""", "expected a JSON object")]
    [TestCase("""{"batch": """, "expected a configuration in JSON")]
    [TestCase("", "expected a configuration in JSON")]
    public void Bad_files_are_refused(string content, params string[] parts)
    {
        File.WriteAllText(PathOf("bad.json"), content);
        FileFormatException found = Assert.Throws<FileFormatException>(() => RunConfigFile.Read(PathOf("bad.json")))!;
        Assert.That(found.Message, Does.StartWith(PathOf("bad.json")));
        foreach (string part in parts) Assert.That(found.Message, Does.Contain(part));
    }

    [Test]
    public void A_file_may_begin_with_a_preset()
    {
        File.WriteAllText(PathOf("a.json"), """{"batch": 3, "preset": "tetris", "enc_channels": 32}""");
        RunConfig config = RunConfigFile.Read(PathOf("a.json"));
        Assert.That(config.NetworkFor(64), Is.EqualTo(Presets.Get("tetris") with { EncChannels = 32 }));
        Assert.That(config.Training.BatchSize, Is.EqualTo(3));
    }

    [Test]
    public void Every_preset_is_its_flags()
    {
        foreach (string name in Presets.Names)
            Assert.That(new RunConfig().WithNetwork(Presets.Get(name)).NetworkFor(1), Is.EqualTo(Presets.Get(name)), name);
        Assert.That(new RunConfig().NetworkFor(64), Is.EqualTo(Presets.Default));
        Assert.That(() => (new RunConfig() with { AttentionResolutions = [7] }).NetworkFor(64),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("found 7"));
        Assert.That((new RunConfig() with { AttentionResolutions = [2] }).NetworkFor(64).AttentionDownsamples, Is.Empty,
            "the network has no such level");
    }

    private byte[] Model(RunConfig config, string name)
    {
        using var folder = RunFolder.Create(PathOf(name));
        Runs.Train(folder, config, 1, -1, (device, set) => TrainingRun.Begin(folder, config, device, set, null, "test", _ => { }));
        using TensorFile model = SafeTensors.Open(folder.Model);
        return [.. model.Names.SelectMany(n => model[n].ToBytes())];
    }

    private string PathOf(params string[] parts) => Path.Combine([root, .. parts]);
}
