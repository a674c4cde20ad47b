using System.Diagnostics;
using System.IO.Compression;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats.Images;
using TarArchive = System.Formats.Tar.TarFile;

namespace RawDiffusion.Diffusion.Tests.Data;

/// <summary>Folders as they are found: with links, without permission, with files that are no pictures; and sources in braces.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class FolderTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("rawdiffusion-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Test]
    public void What_is_passed_over_is_counted_and_named()
    {
        foreach (string name in new[] { "a.png", "b.jfif", "c.JPE", "d.webp", "e.gif", "f.TIFF", "notes.txt", "more.txt", "LICENSE",
            ".hidden.png", ".git/x.png", "deep/g.png" })
        {
            Touch(name);
        }
        using ImageSet set = Open(folder);
        Assert.That(Names(set), Is.EqualTo(new[] { "a.png", "b.jfif", "c.JPE", "d.webp", "deep/g.png" }));
        Assert.That(Counts(set), Is.EqualTo(new[] { (PassReason.NotPicture, 3), (PassReason.Hidden, 2), (PassReason.Format, 2) }));
        Assert.That(set.PassedOver.ToString(), Does.StartWith($"7 passed over: 3 not pictures ({PathOf("LICENSE")}, .txt), 2 hidden ("));
        Assert.That(set.PassedOver.ToString(), Does.Contain("2 of a format that is not read (").And.Contain("f.TIFF"));
        using ImageSet range = ImageSets.Open(folder, new ImageSetOptions { Count = 1 });
        Assert.That(range.PassedOver.Count, Is.EqualTo(7));
        Assert.That(Assert.Throws<IOException>(() => ImageSets.Open(folder, new ImageSetOptions { Strict = true }))!.Message,
            Does.Contain("e.gif").And.Contain("can all be read"));
        File.Delete(PathOf("e.gif"));
        File.Delete(PathOf("f.TIFF"));
        using ImageSet strict = ImageSets.Open(folder, new ImageSetOptions { Strict = true });
        Assert.That(strict.Count, Is.EqualTo(5), "what is no picture is no loss");
        foreach (string name in Names(strict)) File.Delete(PathOf(name));
        Assert.That(Assert.Throws<IOException>(() => Open(folder))!.Message,
            Does.Contain("expected pictures (.png,").And.Contain("5 passed over: 3 not pictures"));
    }

    [Test]
    public void Each_folder_is_looked_into_once_however_links_lead_to_it()
    {
        RequireLinks();
        foreach (string name in new[] { "z/a/b/c.png", "z/d.png" }) Touch(name);
        Touch("elsewhere/e.png");
        // Up, in a circle, by names that come before those of the folders themselves, and out of the folder.
        Directory.CreateSymbolicLink(PathOf("z/a/b/up"), "../..");
        Directory.CreateSymbolicLink(PathOf("z/a/b/top"), PathOf("z"));
        Directory.CreateSymbolicLink(PathOf("z/0"), "a");
        Directory.CreateSymbolicLink(PathOf("z/1"), "0/b");
        Directory.CreateSymbolicLink(PathOf("z/out"), PathOf("elsewhere"));
        Directory.CreateSymbolicLink(PathOf("z/self"), "self");
        File.CreateSymbolicLink(PathOf("z/gone.png"), "nothing.png");
        using ImageSet set = Open(PathOf("z"));
        Assert.That(Names(set), Is.EqualTo(new[] { "z/a/b/c.png", "z/d.png", "z/out/e.png" }));
        Assert.That(Counts(set), Is.EqualTo(new[] { (PassReason.Again, 4), (PassReason.DeadLink, 2) }));
        Assert.That(Files("z/*/b/*.png"), Is.EqualTo(new[] { "z/a/b/c.png" }));
        Assert.That(Files("z/**/*/**/*.png").Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal),
            Is.EqualTo(new[] { "c.png", "d.png", "e.png" }), "by some path");

        string[] Files(string pattern) =>
            [.. GlobPattern.Files(PathOf(pattern), new PassedOver()).Select(f => Path.GetRelativePath(folder, f))];
    }

    [Test]
    public void Two_links_in_a_folder_come_to_an_end()
    {
        RequireLinks();
        Touch("a.png");
        // Sixteen names for each level, as deep as one goes: without care they never end.
        for (int i = 0; i < 16; i++) Directory.CreateSymbolicLink(PathOf($"l{i}"), ".");
        using ImageSet set = Open(folder);
        Assert.That(set.Count, Is.EqualTo(1));
        Assert.That(Counts(set), Is.EqualTo(new[] { (PassReason.Again, 16) }));
    }

    [Test]
    public void Hard_links_are_files_of_their_own()
    {
        RequireLinks();
        Touch("a.png");
        Assert.That(Run("ln", PathOf("a.png"), PathOf("b.png")), Is.Zero);
        Assert.That(Names(Open(folder)), Is.EqualTo(new[] { "a.png", "b.png" }));
    }

    [Test]
    public void Names_that_are_not_UTF_8_are_told_of()
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("needs names of bytes");
        Touch("a.png");
        Touch("\ufffd.png");
        Assert.That(Run("sh", "-c", $"cd '{folder}' && : > \"$(printf 'b\\377.png')\" && mkdir \"$(printf 'c\\377')\""), Is.Zero);
        using ImageSet set = Open(folder);
        Assert.That(Names(set), Is.EqualTo(new[] { "a.png", "\ufffd.png" }), "U+FFFD is a name that can be opened");
        Assert.That(Counts(set), Is.EqualTo(new[] { (PassReason.NotUtf8, 2) }));
        Assert.That(set.PassedOver.ToString(), Does.Contain("names that are not UTF-8"));
        // .NET cannot delete them either.
        Assert.That(Run("sh", "-c", $"rm -r '{folder}'/*"), Is.Zero);
    }

    [Test]
    public void A_link_to_other_pictures_of_the_same_length_and_time_makes_the_cache_anew(
        [Values("file", "folder", "tar", "chain")] string kind)
    {
        RequireLinks();
        foreach (string version in new[] { "1", "2" })
        {
            Picture($"v{version}/pictures/a.png", version == "1" ? (byte)10 : (byte)200);
            TarArchive.CreateFromDirectory(PathOf($"v{version}/pictures"), PathOf($"v{version}/p.tar"), includeBaseDirectory: false);
            foreach (string file in Directory.GetFiles(PathOf($"v{version}"), "*", SearchOption.AllDirectories))
                File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        }
        Directory.CreateDirectory(PathOf("set"));
        (string source, string link, string target) = kind switch
        {
            "file" => (PathOf("set"), PathOf("set/x.png"), "../v{0}/pictures/a.png"),
            "folder" => (PathOf("set"), PathOf("set"), "v{0}/pictures"),
            "tar" => (PathOf("set/x.tar"), PathOf("set/x.tar"), "../v{0}/p.tar"),
            _ => (PathOf("set"), PathOf("now"), "v{0}/pictures"),
        };
        if (kind == "folder") Directory.Delete(PathOf("set"));
        if (kind == "chain") File.CreateSymbolicLink(PathOf("set/x.png"), "../now/a.png");
        float Load(string version)
        {
            if (File.Exists(link) || Directory.Exists(link)) File.Delete(link);
            File.CreateSymbolicLink(link, string.Format(target, version));
            using ImageSet set = CachedSet.Of(Open(source), PathOf("cache"), message => Assert.Fail(message));
            return set.Load(0)[0];
        }
        Assert.That((Load("1"), Load("2"), Load("1")), Is.EqualTo(((float)(10 / 255.0), (float)(200 / 255.0), (float)(10 / 255.0))));
        Assert.That(Directory.GetFiles(PathOf("cache")), Has.Length.EqualTo(2));
    }

    [Test]
    public void Gzipped_and_joined_tar_files_are_sets()
    {
        Picture("pictures/a.png", 1);
        Picture("pictures/b.png", 2);
        Touch("pictures/b.json");
        TarArchive.CreateFromDirectory(PathOf("pictures"), PathOf("0.tar"), includeBaseDirectory: false);
        byte[] tar = File.ReadAllBytes(PathOf("0.tar"));
        File.WriteAllBytes(PathOf("joined.tar"), [.. tar, .. tar]);
        foreach (string name in new[] { "1.tar.gz", "2.tgz", "named.tar" })
        {
            using FileStream file = File.Create(PathOf(name));
            using var gzip = new GZipStream(file, CompressionLevel.Fastest);
            gzip.Write(tar);
        }
        using ImageSet plain = Open(PathOf("0.tar"));
        foreach ((string source, int times) in new[] { ("joined.tar", 2), ("1.tar.gz", 1), ("2.tgz", 1), ("named.tar", 1),
            ("{1.tar.gz,2.tgz}", 2), ("?.tgz", 1) })
        {
            using ImageSet set = Open(PathOf(source));
            Assert.That(set.Count, Is.EqualTo(2 * times), source);
            for (int i = 0; i < set.Count; i++) Assert.That(set.Load(i), Is.EqualTo(plain.Load(i % 2)), source);
            Assert.That(Counts(set), Is.EqualTo(new[] { (PassReason.NotPicture, times) }), source);
        }
    }

    [Test]
    public void Braces_name_shards_and_folders_of_which_each_must_be_there()
    {
        for (int i = 9; i < 12; i++)
        {
            Picture($"p{i}/a.png", (byte)i);
            TarArchive.CreateFromDirectory(PathOf($"p{i}"), PathOf($"s-{i:000}.tar"), includeBaseDirectory: false);
        }
        using ImageSet tars = Open(PathOf("s-{009..011}.tar")), folders = Open(PathOf("p{9..11}")), files = Open(
            PathOf("p{9,1{0,1}}/*.png"));
        foreach (ImageSet set in new[] { tars, folders, files })
        {
            Assert.That(Enumerable.Range(0, 3).Select(i => set.Load(i)[0]),
                Is.EqualTo(new[] { 9, 10, 11 }.Select(v => (float)(v / 255.0))));
        }
        Assert.That(Assert.Throws<FileNotFoundException>(() => Open(PathOf("s-{009..012}.tar")))!.Message,
            Does.Contain("s-012.tar, found none"));
        Assert.That(Assert.Throws<FileNotFoundException>(() => Open(PathOf("p{9..12}")))!.Message, Does.Contain("p12"));
        Assert.That(Assert.Throws<IOException>(() => Open(PathOf("{s,t}-*.tar")))!.Message, Does.Contain("t-*.tar"));
        Picture("{1,2}/a.png", 3);
        Assert.That(Open(PathOf("{1,2}")).Count, Is.EqualTo(1), "a folder of that name");
    }

    [TestCase("a", "a")]
    [TestCase("{a,b}", "a b")]
    [TestCase("x{08..11}y", "x08y x09y x10y x11y")]
    [TestCase("{1..3}{,z}", "1 1z 2 2z 3 3z")]
    [TestCase("{3..1}", "3 2 1")]
    [TestCase("{0..10..5}", "0 5 10")]
    [TestCase("{-01..1}", "-01 000 001")]
    [TestCase("{a..c}", "a b c")]
    [TestCase("{a,{b,c}d,{1..2}}", "a bd cd 1 2")]
    [TestCase("{a}{b,c}", "{a}b {a}c")]
    [TestCase("{}", "{}")]
    [TestCase("{{a,b}", "{a {b")]
    [TestCase("a,b}", "a,b}")]
    [TestCase("{1..x}", "{1..x}")]
    public void Braces_are_expanded_as_braceexpand_does(string pattern, string names) =>
        Assert.That(BracePattern.Expand(pattern), Is.EqualTo(names.Split(' ')));

    [TestCase("{0..999999999999}")]
    [TestCase("{0..99}{0..99}{0..99}{0..99}{0..99}{0..99}{0..99}{0..99}")]
    public void Too_many_names_are_refused_before_they_are_made(string pattern)
    {
        var watch = Stopwatch.StartNew();
        Assert.That(Assert.Throws<ArgumentException>(() => ImageSets.Open(pattern, new ImageSetOptions()))!.Message,
            Does.Contain("at most 1000000 names"));
        Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(60)));
        Assert.Throws<ArgumentException>(() => BracePattern.Expand(new string('{', 100_000)));
    }

    [Test]
    public void A_fingerprint_tells_the_images_and_not_their_place()
    {
        for (int i = 0; i < 100; i++) Picture($"1/x/{i}.png", (byte)i);
        TarArchive.CreateFromDirectory(PathOf("1"), PathOf("s.tar"), includeBaseDirectory: false);
        File.Move(PathOf("s.tar"), PathOf("1/x/s.tar"));
        string first = Fingerprint("1/x"), tar = Fingerprint("1/x/s.tar");
        Directory.CreateDirectory(PathOf("2"));
        Directory.Move(PathOf("1/x"), PathOf("2/y"));
        Directory.SetLastWriteTimeUtc(PathOf("2/y"), DateTime.UnixEpoch);
        foreach (string file in Directory.GetFiles(PathOf("2/y"))) File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        Assert.That((Fingerprint("2/y"), Fingerprint("2/y/*.png"), Fingerprint("2/y/s.tar")), Is.EqualTo((first, first, tar)));
        // Another content of the first, another length of any, another name, one fewer.
        Picture("2/y/0.png", 77);
        Assert.That(Fingerprint("2/y"), Is.Not.EqualTo(first));
        Picture("2/y/0.png", 0);
        Assert.That(Fingerprint("2/y"), Is.EqualTo(first));
        File.AppendAllText(PathOf("2/y/98.png"), "x");
        Assert.That(Fingerprint("2/y"), Is.Not.EqualTo(first));
        Picture("2/y/98.png", 98);
        File.Move(PathOf("2/y/98.png"), PathOf("2/y/99b.png"));
        Assert.That(Fingerprint("2/y"), Is.Not.EqualTo(first));
        File.Delete(PathOf("2/y/99b.png"));
        Assert.That(Fingerprint("2/y"), Is.Not.EqualTo(first));

        string Fingerprint(string source)
        {
            using ImageSet set = Open(PathOf(source));
            return set.Fingerprint;
        }
    }

    [Test]
    public void A_packed_set_is_told_by_its_images()
    {
        foreach (string name in new[] { "1", "2" }) Picture($"{name}/a.png", 5);
        Picture("3/a.png", 6);
        string[] prints = [.. new[] { "1", "2", "3" }.Select(name =>
        {
            using ImageSet set = Open(PathOf(name));
            PackedSet.Write(set, PathOf($"{name}.pack"), new PackOptions());
            using ImageSet packed = ImageSets.Open(PathOf($"{name}.pack"), new ImageSetOptions());
            return packed.Fingerprint;
        })];
        Assert.That((prints[0] == prints[1], prints[0] == prints[2]), Is.EqualTo((true, false)));
    }

    private static void RequireLinks()
    {
        if (OperatingSystem.IsWindows()) Assert.Ignore("needs the right to make links");
    }

    private static int Run(string command, params string[] arguments)
    {
        using var process = Process.Start(command, arguments);
        process.WaitForExit();
        return process.ExitCode;
    }

    private static ImageSet Open(string source) => ImageSets.Open(source, new ImageSetOptions { Size = 8 });

    private static (PassReason, int)[] Counts(ImageSet set) => [.. set.PassedOver.Groups.Select(g => (g.Reason, g.Count))];

    private string[] Names(ImageSet set) => [.. Enumerable.Range(0, set.Count).Select(i => Path.GetRelativePath(folder, set.NameOf(i)))];

    private string PathOf(string name) => Path.Combine(folder, name);

    private void Touch(string name)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(PathOf(name))!);
        File.WriteAllBytes(PathOf(name), []);
    }

    // Of one colour, so that lengths are the same whatever it is.
    private void Picture(string name, byte value)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(PathOf(name))!);
        ImageFile.WritePng(PathOf(name), new Image(8, 8, 3, 8, [.. Enumerable.Repeat(value, 192)]));
    }
}
