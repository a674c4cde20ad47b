using System.Text.Json;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats.Images;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DatasetTests : IDisposable
{
    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [TestCase("make")]
    [TestCase("show")]
    [TestCase("pack")]
    public void Each_verb_shows_an_example_and_its_sets(string verb)
    {
        string help = Rawdiffusion.Run("dataset", verb, "--help").Succeeded().Out;
        Assert.That(help, Does.Contain($"Example:{Environment.NewLine}  rawdiffusion dataset {verb}").And.Contain(
            "tetris|clevr-toy").And.Contain("--json").And.Contain("--seed"));
    }

    [Test]
    public void A_made_set_has_images_masks_and_attributes_that_fit_together()
    {
        JsonElement report = Rawdiffusion.Run("dataset", "make", "tetris", "--count", "4", "--seed", "3", "--out", work.Out, "--json")
            .Succeeded().Json;
        Assert.That((report.GetProperty("count").GetInt32(), report.GetProperty("objects").GetInt32()), Is.EqualTo((4, 3)));
        Assert.That(work.Results, Is.EqualTo(new[] { "attributes.csv", "attributes.json" }));
        string[] names = ["000000.png", "000001.png", "000002.png", "000003.png"];
        foreach (string folder in new[] { "images", "masks" })
            Assert.That(Directory.GetFiles(Path.Combine(work.Out, folder)).Select(f => Path.GetFileName(f)).Order(), Is.EqualTo(names));

        using var table = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(work.Out, "attributes.json")));
        JsonElement entry = table.RootElement.GetProperty("images")[2];
        Image image = ImageFile.Read(Path.Combine(work.Out, "images", entry.GetProperty("file").GetString()!));
        Image masks = ImageFile.Read(Path.Combine(work.Out, "masks", entry.GetProperty("file").GetString()!));
        Assert.That((image.Width, image.Height, masks.Width, masks.Height, masks.Channels), Is.EqualTo((32, 32, 96, 32, 1)));
        float[][] objects = [.. entry.GetProperty("objects").EnumerateArray()
            .Select(o => o.EnumerateArray().Select(v => v.GetSingle()).ToArray())];
        Assert.That(table.RootElement.GetProperty("attributes").EnumerateArray().Select(a => a.GetString()),
            Is.EqualTo(new[] { "form", "x", "y", "red", "green", "blue" }));
        for (int p = 0; p < 1024; p++)
        {
            int k = Enumerable.Range(0, 3).FirstOrDefault(k => masks.Samples[96 * (p / 32) + 32 * k + p % 32] > 0, -1);
            for (int c = 0; c < 3; c++) Assert.That(image.Samples[3 * p + c], Is.EqualTo(k < 0 ? 0 : 255 * objects[k][3 + c]).Within(0.51));
        }
        string[] lines = File.ReadAllLines(Path.Combine(work.Out, "attributes.csv"));
        Assert.That(lines, Has.Length.EqualTo(1 + 4 * 3));
        Assert.That(lines[0], Is.EqualTo("image,object,form,x,y,red,green,blue"));
        Assert.That(lines[1 + 3 * 2 + 1], Does.StartWith($"000002.png,1,{objects[1][0]:0},"));
    }

    [Test]
    public void A_made_folder_is_a_set_with_the_same_truth()
    {
        Rawdiffusion.Run("dataset", "make", "shapes", "--count", "3", "--out", work.Out).Succeeded();
        using ImageSet drawn = ImageSets.Open("shapes", new ImageSetOptions()), made = ImageSets.Open(work.Out, new ImageSetOptions());
        Assert.That((made.Count, made.Size, made.Objects), Is.EqualTo((3, 32, 3)));
        Assert.That(made.AttributeNames, Is.EqualTo(drawn.AttributeNames));
        for (int i = 0; i < 3; i++)
        {
            Assert.That(made.Load(i), Is.EqualTo(drawn.Load(i)).Within(0.5 / 255 + 1e-6));
            Assert.That(made.TruthOf(i)!.Masks, Is.EqualTo(drawn.TruthOf(i)!.Masks).Within(0.5 / 255 + 1e-6));
            Assert.That(made.TruthOf(i)!.Attributes, Is.EqualTo(drawn.TruthOf(i)!.Attributes));
        }
        Assert.Throws<ArgumentException>(() => ImageSets.Open(work.Out, new ImageSetOptions { Size = 64 }));
        string table = Path.Combine(work.Out, MadeSet.TableName);
        foreach (string bad in new[] { "", "[]", "{}", File.ReadAllText(table).Replace("\"objects\":3", "\"objects\":4"),
            File.ReadAllText(table)[..^9] })
        {
            string folder = Directory.CreateDirectory(work.PathOf("bad")).FullName;
            File.WriteAllText(Path.Combine(folder, MadeSet.TableName), bad);
            Rawdiffusion.Run("dataset", "show", folder).Failed(1, "dataset make");
        }
    }

    [Test]
    public void Seed_part_and_size_change_what_is_made_and_nothing_else_does()
    {
        byte[] first = Make();
        Assert.That(Make(), Is.EqualTo(first));
        Assert.That(Make("--seed", "1"), Is.Not.EqualTo(first));
        Assert.That(Make("--split", "held-out"), Is.Not.EqualTo(first));
        Assert.That(Make("--start", "1"), Is.Not.EqualTo(first));
        Assert.That(Make("--size", "40"), Is.Not.EqualTo(first));

        byte[] Make(params string[] options)
        {
            Rawdiffusion.Run(["dataset", "make", "shapes", "--count", "1", "--out", work.Out, .. options]).Succeeded();
            return File.ReadAllBytes(Path.Combine(work.Out, "images", "000000.png"));
        }
    }

    [Test]
    public void A_sheet_shows_a_folder_and_a_procedural_set()
    {
        File.Copy(Goldens.PathOf("images/synth_97x61.png"), work.PathOf("a.png"));
        File.Copy(Goldens.PathOf("images/synth_20x24.png"), work.PathOf("b.png"));
        JsonElement report = Rawdiffusion.Run("dataset", "show", work.Folder, "--size", "16", "--out", work.Out, "--json").Succeeded().Json;
        Assert.That((report.GetProperty("count").GetInt32(), report.GetProperty("objects").GetInt32()), Is.EqualTo((2, 0)));
        Image sheet = ImageFile.Read(Path.Combine(work.Out, "sheet.png"));
        Assert.That((sheet.Width, sheet.Height), Is.EqualTo((34, 16)));
        Rawdiffusion.Run("dataset", "show", "sos", "--count", "5", "--out", work.Out).Succeeded();
        sheet = ImageFile.Read(Path.Combine(work.Out, "sheet.png"));
        Assert.That((sheet.Width, sheet.Height), Is.EqualTo((12 * 34 - 2, 2 * 34 - 2)));
    }

    [Test]
    public void A_packed_folder_can_be_used_in_its_place()
    {
        File.Copy(Goldens.PathOf("images/synth_97x61.png"), work.PathOf("a.png"));
        File.Copy(Goldens.PathOf("images/synth_240x320.png"), work.PathOf("b.png"));
        work.Write("c.png", [0x89, (byte)'P']);
        string pack = work.PathOf("set.pack");
        Outcome packed = Rawdiffusion.Run("dataset", "pack", work.Folder, "--size", "32", "--to", pack, "--json").Succeeded();
        Assert.That((packed.Json.GetProperty("count").GetInt32(), packed.Json.GetProperty("skipped").GetInt32()), Is.EqualTo((2, 1)));
        Assert.That(packed.Json.GetProperty("values").GetString(), Is.EqualTo("floats"));
        Assert.That(packed.Error, Does.Contain("warning: ").And.Contain("c.png is skipped: "));
        File.Delete(work.PathOf("c.png"));
        byte[] Sheet(string set, params string[] options)
        {
            Rawdiffusion.Run(["dataset", "show", set, "--out", work.Out, .. options]).Succeeded();
            return File.ReadAllBytes(Path.Combine(work.Out, "sheet.png"));
        }
        byte[] expected = Sheet(work.PathOf("*.png"), "--size", "32");
        Assert.That(Sheet(pack), Is.EqualTo(expected));
    }

    [Test]
    public void Mistakes_are_told_in_one_line()
    {
        Rawdiffusion.Run("dataset").Failed(2, "rawdiffusion dataset --help");
        Rawdiffusion.Run("dataset", "make", "tetris", "--count", "0")
            .Failed(2, "--count takes a whole number of at least 1", "rawdiffusion dataset make --help");
        Rawdiffusion.Run("dataset", "make", "clevr").Failed(2, "clevr-toy", "'clevr'");
        Rawdiffusion.Run("dataset", "make", "tetris", "--size", "30").Failed(2, "multiple of 8", "30");
        Rawdiffusion.Run("dataset", "show", "tetris", "--crop", "0,0,4,4").Failed(2, "no crop");
        Rawdiffusion.Run("dataset", "show", work.Folder, "--out", work.Out).Failed(1, work.Folder, "found none");
        Rawdiffusion.Run("dataset", "show", "clevr", "--base", work.Folder).Failed(1, "images_clevr", "found none");
        Rawdiffusion.Run("dataset", "show", "mnist", "--base", work.Folder).Failed(2, "celebahq", "'mnist'");
        Rawdiffusion.Run("dataset", "pack", "tetris").Failed(2, "--to FILE.pack");
        Rawdiffusion.Run("dataset", "pack", "tetris", "--to", "x.tar").Failed(2, ".pack", "'x.tar'");
        work.Write("bad.png", [1, 2, 3]);
        Rawdiffusion.Run("dataset", "show", work.Folder, "--out", work.Out).Failed(1, "bad.png");
        Rawdiffusion.Run("dataset", "pack", work.Folder, "--strict", "--to", work.PathOf("x.pack")).Failed(1, "bad.png");
        Rawdiffusion.Run("dataset", "show", work.Write("x.pack", [1, 2, 3])).Failed(1, "x.pack");
        Assert.That(work.Results, Is.Empty);
        Assert.That(Directory.GetFiles(work.Folder).Select(f => Path.GetFileName(f)), Is.EquivalentTo(new[] { "bad.png", "x.pack" }));
    }
}
