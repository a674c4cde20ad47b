using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;

namespace RawDiffusion.Diffusion.Tests.Models;

public sealed class UNetConfigTests
{
    private static IEnumerable<TestCaseData> Broken()
    {
        UNetConfig a = GoldenConfigs.A;
        yield return Case(a with { ImageSize = 33 }, "2 levels needs an image size that is a multiple of 2, found 33");
        yield return Case(a with { Channels = 24, NumHeadChannels = 8 }, "multiple of the 16 normalisation groups, found 24");
        yield return Case(a with { Channels = 1, ChannelMult = [16, 32] }, "number of channels must be at least 2, found 1");
        yield return Case(a with { ChannelMult = [] }, "expected 1 to 16 levels, found 0");
        yield return Case(a with { ChannelMult = [1, 0] }, "channel multiplier must be positive, found 0");
        yield return Case(a with { NumResBlocks = 0 }, "residual blocks must be positive, found 0");
        yield return Case(a with { NumResBlocks = 65 }, "at most 64 residual blocks, found 65");
        yield return Case(a with { EmbDim = 31 }, "must be even, found 31");
        yield return Case(a with { NumComponents = -1 }, "components must be positive, found -1");
        yield return Case(a with { AttentionDownsamples = [2, 4] }, "2 levels has none at downsampling 4");
        yield return Case(a with { NumHeads = 2 }, "not both");
        yield return Case(a with { NumHeadChannels = null }, "--num-heads");
        yield return Case(a with { NumHeadChannels = 24 }, "24 channels a head do not divide an attention width of 64");
        yield return Case(a with { NumHeads = 3, NumHeadChannels = null }, "3 heads do not divide an attention width of 64");
        yield return Case(a with { NumHeads = 0, NumHeadChannels = null }, "number of heads must be positive, found 0");

        static TestCaseData Case(UNetConfig config, string because) => new TestCaseData(config, because).SetArgDisplayNames(because);
    }

    [TestCaseSource(nameof(Broken))]
    public void A_network_that_cannot_run_is_refused(UNetConfig config, string because) =>
        Assert.That(config.Validate, Throws.TypeOf<CheckpointException>().With.Message.Contains(because));

    [Test]
    public void Equal_members_make_equal_configurations_and_each_member_counts()
    {
        UNetConfig a = GoldenConfigs.A;
        UNetConfig[] others =
        [
            a with { ImageSize = 64 }, a with { ImageChannels = 1 }, a with { Channels = 64 },
            a with { ChannelMult = [1, 3] }, a with { NumResBlocks = 2 }, a with { EmbDim = 64 },
            a with { EncChannels = 7 }, a with { NumComponents = 4 }, a with { AttentionDownsamples = [1, 2] },
            a with { NumHeads = 1 }, a with { NumHeadChannels = 32 }, a with { UseScaleShiftNorm = true },
            a with { ResBlockUpDown = false },
        ];
        using (Assert.EnterMultipleScope())
        {
            Assert.That(a with { ChannelMult = [.. a.ChannelMult] }, Is.EqualTo(a));
            Assert.That((a with { ChannelMult = [.. a.ChannelMult] }).GetHashCode(), Is.EqualTo(a.GetHashCode()));
            foreach (UNetConfig other in others) Assert.That(other, Is.Not.EqualTo(a));
        }
    }

    [TestCase(16, 2)]
    [TestCase(17, 3)]
    [TestCase(20, 3)]
    [TestCase(24, 3)]
    [TestCase(25, 4)]
    public void The_encoder_halves_three_times_and_rounds_up(int imageSize, int encoded)
    {
        int halved = imageSize;
        for (int i = 0; i < 3; i++) halved = (halved + 1) / 2;
        Assert.That((GoldenConfigs.A with { ImageSize = imageSize }).EncodedSize, Is.EqualTo(encoded).And.EqualTo(halved));
    }

    [Test]
    public void Heads_come_from_their_number_or_their_channels()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(GoldenConfigs.C.AttentionWidths, Is.EqualTo(new[] { 128, 192 }));
            Assert.That(GoldenConfigs.C.HeadsAt(192), Is.EqualTo(3));
            Assert.That(GoldenConfigs.B.HeadsAt(32), Is.EqualTo(2));
        }
    }
}
