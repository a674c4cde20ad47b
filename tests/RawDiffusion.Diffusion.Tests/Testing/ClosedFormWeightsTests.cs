using System.Security.Cryptography;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Testing;

/// <summary>The closed-form weights against the bits and checksums that goldens/README.md gives.</summary>
public sealed class ClosedFormWeightsTests
{
    [Test]
    public void Hashes_are_the_published_ones()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(ClosedFormWeights.Fnv1a32(""), Is.EqualTo(0x811c9dc5));
            Assert.That(ClosedFormWeights.Fnv1a32("a"), Is.EqualTo(0xe40c292c));
            Assert.That(ClosedFormWeights.Hash32(0), Is.Zero);
            Assert.That(ClosedFormWeights.Hash32(1), Is.EqualTo(0x688990c0));
            Assert.That(ClosedFormWeights.Hash32(0xdeadbeef), Is.EqualTo(0xe628c683));
        }
    }

    [TestCase("input_blocks.0.0.weight", 0xbe67b345, 0x3e87d725u, 0x3e9c241du)]
    [TestCase("input_blocks.0.0.bias", 0xbcf0453d, 0x3d1f9816u, 0xbc2e50b3)]
    [TestCase("input_blocks.1.0.in_layers.0.weight", 0x3f68a44au, 0x3f8464a3u, 0x3f810524u)]
    [TestCase("latent_encoder.0.weight", 0xbe39d592, 0xbe46a2bf, 0x3e9d9663u)]
    [TestCase("latent_encoder.2.bn1.running_var", 0x3f933660u, 0x3fb4f952u, 0x3f845c4cu)]
    [TestCase("middle_block.1.qkv.weight", 0x3cccd748u, 0xbd1fec54, 0xbddd3e5e)]
    public void Elements_have_the_published_bits(string name, uint first, uint second, uint third)
    {
        using TensorFile weights = ClosedFormWeights.StateDict("C");
        Assert.That(
            weights[name].ToSingles().Take(3).Select(BitConverter.SingleToUInt32Bits),
            Is.EqualTo(new[] { first, second, third }));
    }

    [TestCase("C", "", 31_695_043, "3ea2af7519f0aa1d47e08bc3c9f5dd5243f4b780eabbb742431e71de2f01f102")]
    [TestCase("C", "x2/", 31_695_043, "1906949dc305b2314e7c75b4b59866d6cfa1dc7473e03ec5bcd619416cff1c1c")]
    [TestCase("tiny_cf", "", 985_811, "6da3d912bd67f1f244c22e8810f4d16e005058ac34bacbf77879bb33a8612e1e")]
    [TestCase("tiny_cf", "x2/", 985_811, "e69cef529eff604e34e1d7b723210fdb8e6606d4525edfc782ce1403a66f4e5c")]
    [TestCase("A", "x2/", 757_071, "4aded0993066f3d11da9b2762a99e84072d9b3a6477282d2be47f22fda17f606")]
    [TestCase("B", "x2/", 337_955, "710cf3abeab3b3ede67c7d77a7c1200e5b1e071a54130cc929d5ec549a786fb7")]
    [TestCase("B", "online/", 337_955, "1556d71bb5761c24ce0e01f2d0c63af526b59a104b94b83b326d5ca243d22aef")]
    public void State_dicts_have_the_published_checksums(string config, string salt, int values, string sha256)
    {
        using TensorFile weights = ClosedFormWeights.StateDict(config, salt);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int counted = 0;
        foreach (string name in weights.Names.Order(StringComparer.Ordinal))
        {
            if (weights[name].Type == TensorType.Int64) continue;
            hash.AppendData(weights[name].ToBytes());
            counted += weights[name].Count;
        }
        using (Assert.EnterMultipleScope())
        {
            Assert.That(counted, Is.EqualTo(values));
            Assert.That(Convert.ToHexStringLower(hash.GetHashAndReset()), Is.EqualTo(sha256));
        }
    }

    [Test]
    public void Batch_counters_are_an_integer_zero()
    {
        using TensorFile weights = ClosedFormWeights.StateDict("A");
        Tensor counter = weights["latent_encoder.2.bn1.num_batches_tracked"];
        using (Assert.EnterMultipleScope())
        {
            Assert.That(counter.Shape, Is.Empty);
            Assert.That(counter.ToInt64s(), Is.EqualTo(new[] { 0L }));
        }
    }
}
