using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Tests.Compilation;

public sealed class KernelCacheTests
{
    private static readonly byte[] Image = [.. Enumerable.Range(0, 1000).Select(i => (byte)(i * i))];

    private TemporaryFolder folder = null!;

    [SetUp]
    public void MakeFolder() => folder = new();

    [TearDown]
    public void DeleteFolder() => folder.Dispose();

    [Test]
    public void An_entry_is_found_by_another_cache_over_the_same_folder()
    {
        new KernelCache(folder.File("new/folder")).Write("key", Image);
        var cache = new KernelCache(folder.File("new/folder"));
        Assert.That(cache.Read("key"), Is.EqualTo(Image));
        Assert.That(cache.Read("other"), Is.Null);
        Assert.That(cache.Size(), Is.EqualTo((1, Image.Length + 32L)));
        Assert.That(cache.IsWritable(), Is.True);
        Assert.That(Directory.GetFiles(cache.Folder), Has.Length.EqualTo(1), "no temporary file stays");
    }

    [Test]
    public void A_truncated_entry_counts_as_missing([Values(0, 10, 32, 500, 1031)] int bytes)
    {
        KernelCache cache = Written(out string file);
        File.WriteAllBytes(file, File.ReadAllBytes(file)[..bytes]);
        Assert.That(cache.Read("key"), Is.Null);
    }

    [Test]
    public void A_flipped_bit_makes_an_entry_count_as_missing([Values(0, 31, 32, 1031)] int at)
    {
        KernelCache cache = Written(out string file);
        byte[] bytes = File.ReadAllBytes(file);
        bytes[at] ^= 4;
        File.WriteAllBytes(file, bytes);
        Assert.That(cache.Read("key"), Is.Null);
    }

    [Test]
    public void A_folder_that_cannot_be_made_is_an_empty_cache()
    {
        File.WriteAllText(folder.File("file"), "");
        var cache = new KernelCache(folder.File("file/below"));
        cache.Write("key", Image);
        Assert.That(cache.Read("key"), Is.Null);
        Assert.That(cache.Size(), Is.EqualTo((0, 0L)));
        Assert.That(cache.IsWritable(), Is.False);
    }

    [Test]
    public void Writers_at_once_leave_a_whole_entry()
    {
        var cache = new KernelCache(folder.Path);
        Parallel.For(0, 50, i =>
        {
            cache.Write("key", Image);
            Assert.That(cache.Read("key"), Is.EqualTo(Image));
        });
        Assert.That(Directory.GetFiles(folder.Path), Has.Length.EqualTo(1));
    }

    private KernelCache Written(out string file)
    {
        var cache = new KernelCache(folder.Path);
        cache.Write("key", Image);
        file = Directory.GetFiles(folder.Path).Single();
        return cache;
    }
}
