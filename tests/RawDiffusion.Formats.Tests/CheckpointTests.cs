using System.Numerics;
using RawDiffusion.Formats.PyTorch;

namespace RawDiffusion.Formats.Tests;

public sealed class CheckpointTests
{
    [TestCase("quirks.pt")]
    [TestCase("quirks_legacy.pt")]
    public void Odd_tensors_have_the_values_that_PyTorch_has(string name)
    {
        using TensorFile found = Checkpoint.Open(Files.Golden(name));
        using TensorFile expected = SafeTensors.Open(Files.Golden("quirks.safetensors"));
        Assert.That(found.Names, Is.EquivalentTo(expected.Names));
        foreach (string tensor in expected.Names)
        {
            Assert.That(found[tensor].Shape, Is.EqualTo(expected[tensor].Shape), tensor);
            Assert.That(found[tensor].ToDoubles(), Is.EqualTo(expected[tensor].ToDoubles()), tensor);
            Assert.That(found[tensor].ToSingles(), Is.EqualTo(expected[tensor].ToSingles()), tensor);
            bool widened = tensor is "f16" or "bf16";
            if (!widened) Assert.That(found[tensor].Type, Is.EqualTo(expected[tensor].Type), tensor);
        }
        Assert.That(found["f16"].Type, Is.EqualTo(TensorType.Float16));
        Assert.That(found["bf16"].Type, Is.EqualTo(TensorType.BFloat16));
        Assert.That(found.Notes, Is.EqualTo(new[] { "State dict found under 'state_dict'." }));
    }

    [TestCase("quirks.pt")]
    [TestCase("quirks_legacy.pt")]
    public void Plain_values_have_the_values_that_Python_has(string name)
    {
        using PyTorchArchive archive = PyTorchArchive.Open(Files.Golden(name));
        var root = (OrderedDictionary<object, object?>)archive.Root!;
        Assert.That(root.Keys, Is.EqualTo(new[] { "state_dict", "epoch", "lr", "note", "tags", "args", "big", "neg" }));
        Assert.That(root["epoch"], Is.EqualTo(7L));
        Assert.That(root["lr"], Is.EqualTo(1e-3));
        Assert.That(root["note"], Is.Null);
        var tags = (List<object?>)root["tags"]!;
        Assert.That(tags, Has.Count.EqualTo(2));
        Assert.That(tags[0], Is.EqualTo("a"));
        Assert.That((object?[])tags[1]!, Is.EqualTo(new object[] { "b", 2L, 3.5, true }));
        var args = (OrderedDictionary<object, object?>)root["args"]!;
        Assert.That(args["emb_dim"], Is.EqualTo(64L));
        Assert.That(args["channel_mult"], Is.EqualTo("1,2"));
        Assert.That(root["big"], Is.EqualTo(BigInteger.Pow(2, 70)));
        Assert.That(root["neg"], Is.EqualTo(-12345678901L));
    }

    [Test]
    public void Zip_legacy_and_EMA_files_of_one_model_are_equal()
    {
        using TensorFile zip = Checkpoint.Open(Files.Golden("B.pt"));
        using TensorFile legacy = Checkpoint.Open(Files.Golden("B_legacy.pt"));
        using TensorFile ema = Checkpoint.Open(Files.Golden("B_ema.pt"));
        Assert.That(zip.Notes, Is.Empty);
        Assert.That(ema.Notes, Is.EqualTo(new[] { "EMA weights taken (step 140001); --weights online picks the others." }));
        RequireEqual(legacy, zip);
        RequireEqual(ema, zip);
    }

    internal static void RequireEqual(TensorFile found, TensorFile expected)
    {
        Assert.That(found.Names, Is.EqualTo(expected.Names));
        foreach (string name in expected.Names)
        {
            Assert.That(found[name].Type, Is.EqualTo(expected[name].Type), name);
            Assert.That(found[name].Shape, Is.EqualTo(expected[name].Shape), name);
            Assert.That(found[name].ToBytes().AsSpan().SequenceEqual(expected[name].ToBytes()), name);
        }
    }
}
