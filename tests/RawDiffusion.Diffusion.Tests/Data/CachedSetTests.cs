using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Tests.Data;

/// <summary>A set with a cache is the set, whatever becomes of the cache.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class CachedSetTests : IDisposable
{
    private const int Count = 7, Broken = 2, Size = 12;

    private readonly string root = Path.Combine(Path.GetTempPath(), $"rawdiffusion-{Guid.NewGuid():n}");
    private readonly List<string> told = [];

    public CachedSetTests()
    {
        Directory.CreateDirectory(Pictures);
        for (int i = 0; i < Count; i++) Picture(i, 20 + i);
        File.WriteAllText(PathOf(Broken), "not a picture");
    }

    private string Pictures => Path.Combine(root, "pictures");

    private string Cache => Path.Combine(root, "cache");

    private string Pack => Directory.GetFiles(Cache).Single();

    public void Dispose() => Directory.Delete(root, recursive: true);

    [Test]
    public void It_is_the_set_with_its_images_that_cannot_be_read()
    {
        using ImageSet set = Open(), cached = Cached();
        Assert.That((cached.Name, cached.Count, cached.Size, cached.Identity), Is.EqualTo((set.Name, set.Count, set.Size, set.Identity)));
        RequireSame(set, cached);
        Assert.Throws<ArgumentOutOfRangeException>(() => cached.Load(Count));
        Assert.Throws<ArgumentOutOfRangeException>(() => cached.Load(-1));
        Assert.That(told, Is.Empty);
        // The images come from the cache.
        foreach (string path in Directory.GetFiles(Pictures)) File.Delete(path);
        Assert.That(cached.Load(Count - 1), Has.Length.EqualTo(3 * Size * Size));
        Assert.That(() => cached.Load(Broken), Throws.InstanceOf<IOException>());
    }

    [Test]
    public void A_file_that_changed_is_decoded_again()
    {
        Cached().Dispose();
        Picture(3, 31);
        using ImageSet set = Open(), cached = Cached();
        RequireSame(set, cached);
        Assert.That(Directory.GetFiles(Cache), Has.Length.EqualTo(2));
    }

    [Test]
    public void Damage_to_an_open_cache_costs_time_alone([Values(0.1, 0.5, 0.9)] double place)
    {
        using ImageSet set = Open(), cached = Cached();
        using (FileStream stream = File.Open(Pack, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete))
        {
            stream.Position = (long)(place * stream.Length);
            int value = stream.ReadByte();
            stream.Position--;
            stream.WriteByte((byte)(value ^ 1));
        }
        RequireSame(set, cached);
        File.WriteAllBytes(Pack, []);
        RequireSame(set, cached);
    }

    [Test]
    public void Where_there_can_be_no_cache_people_are_told_once()
    {
        File.WriteAllText(Cache, "in the way");
        using ImageSet set = Open(), cached = Cached();
        Assert.That(told, Has.Count.EqualTo(1).And.Some.Contains(Cache));
        RequireSame(set, cached);
    }

    [Test]
    public void A_set_none_of_whose_images_can_be_read_has_no_cache()
    {
        for (int i = 0; i < Count; i++) File.WriteAllText(PathOf(i), "not a picture");
        using ImageSet cached = Cached();
        Assert.That(told, Has.Count.EqualTo(1).And.Some.Contains("none of the 7 images"));
        Assert.That(Directory.GetFiles(Cache), Is.Empty);
        Assert.Throws<FileFormatException>(() => cached.Load(0));
    }

    [Test]
    public void Many_at_once_make_one_cache()
    {
        using ImageSet set = Open();
        Parallel.For(0, 16, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
        {
            using ImageSet cached = Cached();
            RequireSame(set, cached);
        });
        Assert.That(told, Is.Empty);
        Assert.That(Pack, Does.EndWith(PackedSet.Extension), "and nothing half-written");
    }

    [Test]
    public void What_a_killed_process_left_is_removed_a_day_later()
    {
        Directory.CreateDirectory(Cache);
        string old = Path.Combine(Cache, "a.pack.0.tmp"), young = Path.Combine(Cache, "b.pack.0.tmp");
        File.WriteAllText(old, "half");
        File.WriteAllText(young, "half");
        File.SetLastWriteTimeUtc(old, DateTime.UtcNow.AddDays(-2));
        Cached().Dispose();
        Assert.That((File.Exists(old), File.Exists(young)), Is.EqualTo((false, true)));
    }

    [Test]
    public void A_cancelled_one_leaves_nothing()
    {
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        using ImageSet set = Open();
        Assert.Throws<OperationCanceledException>(() => CachedSet.Of(set, Cache, told.Add, null, cancelled.Token));
        Assert.That(Directory.GetFiles(Cache), Is.Empty);
    }

    private static void RequireSame(ImageSet expected, ImageSet found)
    {
        for (int i = 0; i < Count; i++)
        {
            Assert.That(found.NameOf(i), Is.EqualTo(expected.NameOf(i)));
            if (i != Broken)
            {
                Assert.That(found.Load(i), Is.EqualTo(expected.Load(i)), $"image {i}");
            }
            else
            {
                Assert.That(Assert.Throws<FileFormatException>(() => found.Load(i))!.Message,
                    Is.EqualTo(Assert.Throws<FileFormatException>(() => expected.Load(i))!.Message));
            }
        }
    }

    private ImageSet Open() => ImageSets.Open(Pictures, new ImageSetOptions { Size = Size });

    private ImageSet Cached() => CachedSet.Of(Open(), Cache, message =>
    {
        lock (told) told.Add(message);
    });

    private string PathOf(int image) => Path.Combine(Pictures, $"{image}.png");

    private void Picture(int image, int width)
    {
        byte[] samples = new byte[3 * width * 15];
        new Random(width).NextBytes(samples);
        ImageFile.WritePng(PathOf(image), new Image(width, 15, 3, 8, samples));
    }
}
