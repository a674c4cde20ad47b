using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Data.Procedural;

namespace RawDiffusion.Diffusion.Tests.Data;

[Parallelizable(ParallelScope.All)]
public sealed class ProceduralTests
{
    private const int Images = 60;

    private static IEnumerable<string> Names => ProceduralSet.Names;

    [TestCaseSource(nameof(Names))]
    public void Masks_share_each_pixel_and_cover_what_is_no_background(string name)
    {
        using var set = ProceduralSet.Create(name, new ProceduralOptions(Seed: 3));
        int area = set.Size * set.Size;
        for (int index = 0; index < Images; index++)
        {
            (float[] pixels, GroundTruth truth) = (set.Load(index), set.TruthOf(index)!);
            Assert.That(truth.Masks, Has.Length.EqualTo(set.Objects * area));
            Assert.That(pixels.Concat(truth.Masks), Is.All.InRange(0f, 1f));
            for (int p = 0; p < area; p++)
            {
                float covered = Enumerable.Range(0, set.Objects).Sum(k => truth.Masks[k * area + p]);
                float[] rgb = pixels[(3 * p)..(3 * p + 3)];
                bool background = name switch
                {
                    "clevr-toy" => rgb.Max() - rgb.Min() < 1e-6f, // its ground is gray
                    "shapes" => rgb.All(v => v == 0.25f),
                    "tetris" => rgb.Max() == 0,
                    _ => rgb.Min() == 1,
                };
                Assert.That(covered, Is.LessThanOrEqualTo(1 + 1e-6f), $"{name} {index}, pixel {p}");
                if (background) Assert.That(covered, Is.LessThan(1e-6f), $"{name} {index}, pixel {p}");
                else Assert.That(covered, Is.GreaterThan(0), $"{name} {index}, pixel {p}");
            }
        }
    }

    [TestCaseSource(nameof(Names))]
    public void Every_object_that_is_visible_is_described_and_seen(string name)
    {
        using var set = ProceduralSet.Create(name, new ProceduralOptions());
        (int area, int columns) = (set.Size * set.Size, set.AttributeNames.Count);
        Assert.That(set.AttributeNames, Is.Unique.And.Not.Empty);
        int hidden = 0;
        for (int index = 0; index < Images; index++)
        {
            GroundTruth truth = set.TruthOf(index)!;
            Assert.That(truth.Attributes, Has.Length.EqualTo(set.Objects * columns));
            Assert.That(truth.Attributes.All(float.IsFinite));
            for (int k = 0; k < set.Objects; k++)
            {
                float[] row = truth.Attributes[(k * columns)..((k + 1) * columns)];
                bool visible = set.AttributeNames[^1] != "visible" || row[^1] == 1;
                float seen = truth.Masks.AsSpan(k * area, area).ToArray().Sum();
                if (!visible) Assert.That(seen, Is.Zero);
                else if (seen < 1) hidden++;
            }
        }
        // Something may lie on the image's edge, or nearly all of it behind something else.
        Assert.That(hidden, Is.LessThan(Images * set.Objects / 10));
    }

    [TestCaseSource(nameof(Names))]
    public void An_index_is_the_same_image_whenever_it_is_asked_for(string name)
    {
        using var set = ProceduralSet.Create(name, new ProceduralOptions(Seed: 5));
        using var again = ProceduralSet.Create(name, new ProceduralOptions(Seed: 5, Count: Images));
        float[][] images = [.. Enumerable.Range(0, Images).Select(set.Load)];
        float[][] found = new float[Images][];
        Parallel.For(0, Images, i => found[Images - 1 - i] = again.Load(Images - 1 - i));
        Assert.That(found, Is.EqualTo(images));
        Assert.That(images.Distinct(new SameImage()).Count(), Is.GreaterThan(Images * 9 / 10), "images differ");
        using var other = ProceduralSet.Create(name, new ProceduralOptions(Seed: 6));
        Assert.That(other.Load(0), Is.Not.EqualTo(images[0]));
        Assert.That(other.Identity, Is.Not.EqualTo(set.Identity));
        Assert.Throws<ArgumentOutOfRangeException>(() => again.Load(Images));
        Assert.Throws<ArgumentOutOfRangeException>(() => again.Load(-1));
    }

    [TestCase("tetris")]
    [TestCase("shapes")]
    [TestCase("clevr-toy")]
    [TestCase("bumps")]
    [TestCase("sos")]
    [TestCase("periodic-bumps")]
    [TestCase("periodic-sos")]
    public void No_image_is_in_both_parts(string name)
    {
        using var train = ProceduralSet.Create(name, new ProceduralOptions());
        using var heldOut = ProceduralSet.Create(name, new ProceduralOptions(Split: Split.HeldOut));
        Assert.That(heldOut.Identity, Is.Not.EqualTo(train.Identity));
        // But the one without any object, where there is one.
        HashSet<float[]> seen = new(Enumerable.Range(0, 500).Where(i => train.TruthOf(i)!.Masks.Any(m => m > 0)).Select(train.Load),
            new SameImage());
        Assert.That(Enumerable.Range(0, 500).Select(heldOut.Load), Has.None.Matches<float[]>(seen.Contains));
    }

    [TestCase("bumps", 2)]
    [TestCase("sos", 3)]
    public void The_held_out_region_is_in_no_training_image(string name, int columns)
    {
        using var train = ProceduralSet.Create(name, new ProceduralOptions());
        using var heldOut = ProceduralSet.Create(name, new ProceduralOptions(Split: Split.HeldOut));
        List<float> positions = [];
        for (int i = 0; i < 2000; i++)
        {
            Assert.That(Positions(train, i), Has.None.InRange(13f, 19f));
            Assert.That(Positions(heldOut, i), Has.Some.InRange(13f, 19f));
            positions.AddRange(Positions(train, i));
        }
        Assert.That((positions.Min(), positions.Max()), Is.EqualTo((0f, 32f)), "both edges come");
        Assert.That(positions.Max(p => MathF.Abs(MathF.Round(10 * p) - 10 * p)), Is.LessThan(1e-4f), "steps of a tenth");

        float[] Positions(ImageSet set, int index)
        {
            float[] a = set.TruthOf(index)!.Attributes;
            return columns == 2 ? a : [a[1], a[4]];
        }
    }

    [Test]
    public void Stripes_are_the_halves_of_a_sum_and_the_other_one_is_in_the_margin()
    {
        using var set = ProceduralSet.Create("stripes", new ProceduralOptions());
        int vertical = 0;
        for (int i = 0; i < 400; i++)
        {
            float[] a = set.TruthOf(i)!.Attributes;
            Assert.That(a[2] + a[5], Is.EqualTo(1), "one is visible");
            Assert.That((a[0], a[3]), Is.EqualTo((a[1] + 6, a[4] + 6)), "labels");
            (float seen, float unseen) = a[2] == 1 ? (a[1], a[4]) : (a[4], a[1]);
            Assert.That(seen, Is.InRange(0f, 32f));
            Assert.That(unseen, Is.InRange(-6f, 38f).And.Not.InRange(0f, 32f));
            float[] pixels = set.Load(i);
            int nearest = Math.Clamp((int)MathF.Round(seen) - 1, 0, 31);
            float darkest = pixels[3 * (a[2] == 1 ? nearest : 32 * nearest)];
            float distance = nearest + 1 - seen;
            Assert.That(darkest, Is.EqualTo(1 - 0.5f * MathF.Exp(-distance * distance / 2)).Within(1e-6f));
            vertical += (int)a[2];
        }
        Assert.That(vertical, Is.InRange(150, 250));
    }

    [Test]
    public void Sums_beside_stripes_leave_the_held_out_region_to_single_stripes()
    {
        using var set = ProceduralSet.Create("sos+stripes", new ProceduralOptions());
        int sums = 0, stripesInRegion = 0;
        for (int i = 0; i < 1000; i++)
        {
            float[] a = set.TruthOf(i)!.Attributes;
            bool inRegion = (a[2] == 1 && a[1] is >= 13 and <= 19) || (a[5] == 1 && a[4] is >= 13 and <= 19);
            if (a[2] + a[5] == 1) stripesInRegion += inRegion ? 1 : 0;
            else Assert.That((a[2], a[5], inRegion), Is.EqualTo((1f, 1f, false)), "a sum");
            sums += a[2] + a[5] == 2 ? 1 : 0;
        }
        Assert.That(sums, Is.InRange(450, 550), "half of them");
        Assert.That(stripesInRegion, Is.InRange(60, 150), "a fifth of the others");
    }

    [Test]
    public void Periodic_bumps_go_on_at_the_other_edge()
    {
        using var plain = ProceduralSet.Create("bumps", new ProceduralOptions());
        using var periodic = ProceduralSet.Create("periodic-bumps", new ProceduralOptions());
        int index = Enumerable.Range(0, 1000).First(i => plain.TruthOf(i)!.Attributes is [< 1.2f, > 4 and < 28]);
        int y = (int)MathF.Round(plain.TruthOf(index)!.Attributes[1]) - 1;
        Assert.That(plain.Load(index)[3 * (32 * y + 31)], Is.EqualTo(1));
        Assert.That(periodic.Load(index)[3 * (32 * y + 31)], Is.LessThan(0.95f));
    }

    [Test]
    public void Tetris_has_all_nineteen_forms_of_four_cells_in_three_colours()
    {
        using var set = ProceduralSet.Create("tetris", new ProceduralOptions());
        HashSet<float> forms = [];
        for (int index = 0; index < 300; index++)
        {
            GroundTruth truth = set.TruthOf(index)!;
            float[] pixels = set.Load(index);
            for (int k = 0; k < 3; k++)
            {
                float[] row = truth.Attributes[(6 * k)..(6 * k + 6)];
                int[] seen = [.. Enumerable.Range(0, 1024).Where(p => truth.Masks[1024 * k + p] > 0)];
                Assert.That(seen, Has.Length.EqualTo(4 * 16));
                Assert.That(seen.Select(p => (pixels[3 * p], pixels[3 * p + 1], pixels[3 * p + 2])),
                    Is.All.EqualTo((row[3], row[4], row[5])));
                Assert.That(Array.IndexOf(row, row[3..].Max(), 3) - 3, Is.EqualTo(k), "reddish, greenish, bluish");
                Assert.That(row[1], Is.EqualTo((seen.Min(p => p % 32) + seen.Max(p => p % 32) + 1) / 2f));
                Assert.That(row[2], Is.EqualTo((seen.Min(p => p / 32) + seen.Max(p => p / 32) + 1) / 2f));
                forms.Add(row[0]);
            }
        }
        Assert.That(forms.Order(), Is.EqualTo(Enumerable.Range(0, 19).Select(f => (float)f)));
    }

    [Test]
    public void Sprites_are_where_their_attributes_say()
    {
        using var set = ProceduralSet.Create("shapes", new ProceduralOptions(Size: 48));
        HashSet<float> kinds = [];
        int present = 0;
        for (int index = 0; index < Images; index++)
        {
            GroundTruth truth = set.TruthOf(index)!;
            for (int k = 0; k < 3; k++)
            {
                float[] row = truth.Attributes[(8 * k)..(8 * k + 8)], mask = truth.Masks[(2304 * k)..(2304 * k + 2304)];
                float area = mask.Sum(), r = row[3];
                Assert.That(area > 0, Is.EqualTo(row[7] == 1), "visible");
                present += (int)row[7];
                if (area == 0) continue;
                Assert.That(Enumerable.Range(0, 2304).Sum(p => mask[p] * (p % 48 + 0.5f)) / area, Is.EqualTo(row[1]).Within(0.2));
                Assert.That(Enumerable.Range(0, 2304).Sum(p => mask[p] * (p / 48 + 0.5f)) / area, Is.EqualTo(row[2]).Within(0.2));
                double expected = row[0] switch { 0 => Math.PI * r * r, 1 => 2 * r * r, _ => 0.75 * Math.Sqrt(3) * r * r };
                Assert.That(area, Is.EqualTo(expected).Within(6).Percent);
                kinds.Add(row[0]);
            }
        }
        Assert.That(kinds, Is.EquivalentTo(new[] { 0f, 1f, 2f }));
        Assert.That(present, Is.InRange(0.6 * 3 * Images, 0.8 * 3 * Images));
    }

    [Test]
    public void A_wrong_name_or_size_says_what_there_is()
    {
        Assert.That(Assert.Throws<ArgumentException>(() => ProceduralSet.Create("tetriss", new ProceduralOptions()))!.Message,
            Does.Contain("tetris, clevr-toy").And.Contain("'tetriss'"));
        Assert.That(Assert.Throws<ArgumentException>(() => ProceduralSet.Create("tetris", new ProceduralOptions(Size: 33)))!.Message,
            Does.Contain("multiple of 8").And.Contain("33"));
        Assert.Throws<ArgumentException>(() => ProceduralSet.Create("shapes", new ProceduralOptions(Count: 0)));
        Assert.Throws<ArgumentException>(() => ProceduralSet.Create("shapes", new ProceduralOptions(Size: 100_000)));
    }

    private sealed class SameImage : IEqualityComparer<float[]>
    {
        public bool Equals(float[]? a, float[]? b) => a.AsSpan().SequenceEqual(b);

        public int GetHashCode(float[] image)
        {
            var hash = new HashCode();
            foreach (float value in image) hash.Add(value);
            return hash.ToHashCode();
        }
    }
}
