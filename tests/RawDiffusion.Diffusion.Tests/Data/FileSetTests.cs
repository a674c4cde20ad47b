using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;
using RawDiffusion.Testing;
using TarArchive = System.Formats.Tar.TarFile;

namespace RawDiffusion.Diffusion.Tests.Data;

/// <summary>Pictures as files, in tar files, and packed.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class FileSetTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("rawdiffusion-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Test]
    public void A_folder_gives_pictures_of_all_sizes_and_formats_sorted_by_path()
    {
        Picture("b.png", 40, 20);
        Picture("a/z.PNG", 16, 16);
        Write("B.ppm", [.. "P6 1 1 255\n"u8, 255, 0, 51]);
        Write("a/.hidden/x.png", [1]);
        Write("a/._z.png", [1]);
        Write("notes.txt", [1]);
        using ImageSet set = ImageSets.Open(folder, new ImageSetOptions { Size = 16 });
        Assert.That(Enumerable.Range(0, set.Count).Select(i => Path.GetRelativePath(folder, set.NameOf(i))),
            Is.EqualTo(new[] { "B.ppm", "a/z.PNG", "b.png" }));
        Assert.That(set.Load(0)[..3], Is.EqualTo(new[] { 1f, 0f, 0.2f }));
        for (int i = 0; i < 3; i++) Assert.That(set.Load(i), Has.Length.EqualTo(16 * 16 * 3).And.All.InRange(0f, 1f));
    }

    [Test]
    public void Patterns_match_as_in_Python()
    {
        foreach (string name in new[] { "x/1/a.png", "x/2/b.png", "x/2/.c.png", "x/2/c.jpg", "x/d.png", "y/1/e.png", "x/2/deep/f.png" })
            Write(name, []);
        Assert.That(Glob("x/*/*.png"), Is.EqualTo(new[] { "x/1/a.png", "x/2/b.png" }));
        Assert.That(Glob("?/1/*.png"), Is.EqualTo(new[] { "x/1/a.png", "y/1/e.png" }));
        Assert.That(Glob("x/**/*.png"), Is.EqualTo(new[] { "x/1/a.png", "x/2/b.png", "x/2/deep/f.png", "x/d.png" }));
        Assert.That(Glob("x/2/.*.png"), Is.EqualTo(new[] { "x/2/.c.png" }));
        Assert.That(Glob("x/2/**"), Is.EqualTo(new[] { "x/2/b.png", "x/2/c.jpg", "x/2/deep/f.png" }));
        Assert.That(Glob("z/*"), Is.Empty);

        string[] Glob(string pattern) =>
            [.. GlobPattern.Files(Path.Combine(folder, pattern), new PassedOver()).Select(f => Path.GetRelativePath(folder, f))];
    }

    [Test]
    public void Kitti_is_cropped_and_resized_as_the_authors_do()
    {
        Copy("images/synth_kitti_375x1242.png", "kitti_data_tracking_image_2/training/image_02/0003/000000.png");
        using ImageSet set = ImageSets.Open("kitti", new ImageSetOptions { BaseFolder = folder, Size = 64 });
        using TensorFile goldens = Goldens.Open("images");
        Assert.That(set.Load(0), Is.EqualTo(goldens["synth_kitti_375x1242/64"].ToSingles()).Within(1e-6f));
    }

    [Test]
    public void Every_layout_of_the_authors_is_found_and_says_where_it_looks()
    {
        foreach (string name in AuthorsLayouts.Names)
        {
            Assert.That(Assert.Throws<IOException>(() => AuthorsLayouts.Open(name, folder, 64))!.Message,
                Does.Contain($"pictures of {name} at {folder}"));
        }

        foreach (string name in new[]
        {
            "images_clevr/1.png", "clevr_toy/1.png", "celebahq/data128x128/1.jpg", "celebahq/data128x128/2.jpg",
                "Falcor3D_down128/images/1.png",
            "kitti_data_tracking_image_2/training/image_02/0000/1.png", "kitti_data_tracking_image_2/training/image_02/0001/1.png",
            "vkitti_2.0.3_rgb/Scene01/fog/frames/rgb/Camera_0/1.jpg", "tetris_images_32/1.png", "anime_portraits/1.jpg",
            "anime_portraits/2.jpg",
        })
        {
            Write(name, []);
        }

        Assert.That(AuthorsLayouts.Names.Select(n => AuthorsLayouts.Open(n, folder, 64).Count),
            Is.EqualTo(new[] { 1, 1, 2, 1, 2, 1, 7, 1, 2, 4 }));
        using FileSet combined = AuthorsLayouts.Open("comb_kitti", folder, 64);
        Assert.That(Enumerable.Range(0, 7).Select(i => combined.NameOf(i)[folder.Length..].Split('/')[^2]),
            Is.EqualTo(new[] { "0000", "0001", "0000", "0001", "0000", "0001", "Camera_0" }));
        using ImageSet half = ImageSets.Open("faces", new ImageSetOptions { BaseFolder = folder, Count = 2 });
        Assert.That(Enumerable.Range(0, half.Count).Select(i => Path.GetRelativePath(folder, half.NameOf(i))),
            Is.EqualTo(new[] { "celebahq/data128x128/1.jpg", "anime_portraits/1.jpg" }));
        Assert.That(Assert.Throws<ArgumentException>(() => AuthorsLayouts.Open("mnist", folder, 64))!.Message,
            Does.Contain("clevr, clevr_toy").And.Contain("'mnist'"));
    }

    [Test]
    public void Ranges_split_a_folder()
    {
        for (int i = 0; i < 5; i++) Picture($"{i}.png", 8 + i, 8);
        using ImageSet train = ImageSets.Open(folder, new ImageSetOptions { Size = 8, Count = 3 });
        using ImageSet heldOut = ImageSets.Open(folder, new ImageSetOptions { Size = 8, Start = 3 });
        Assert.That((train.Count, heldOut.Count), Is.EqualTo((3, 2)));
        Assert.That(heldOut.NameOf(0), Does.EndWith("3.png"));
        Assert.That(train.Identity, Is.Not.EqualTo(heldOut.Identity));
        Assert.Throws<ArgumentOutOfRangeException>(() => train.Load(3));
        Assert.Throws<ArgumentException>(() => ImageSets.Open(folder, new ImageSetOptions { Start = 5 }));
    }

    [Test]
    public void What_is_not_there_says_what_was_looked_for()
    {
        Assert.That(Assert.Throws<IOException>(() => ImageSets.Open(folder, new ImageSetOptions()))!.Message,
            Does.Contain(folder).And.Contain(".png"));
        Assert.That(Assert.Throws<IOException>(() => ImageSets.Open(Path.Combine(folder, "*.png"), new ImageSetOptions()))!.Message,
            Does.Contain("*.png"));
        Assert.That(Assert.Throws<IOException>(() => ImageSets.Open(Path.Combine(folder, "no"), new ImageSetOptions()))!.Message,
            Does.Contain("tetris").And.Contain("/no'"));
        Assert.Throws<ArgumentException>(() => ImageSets.Open("tetris", new ImageSetOptions { Crop = new ImageCrop(0, 0, 1, 1) }));
    }

    [Test]
    public void A_crop_is_clipped_to_the_picture_and_must_have_something_of_it()
    {
        Picture("a.png", 20, 10);
        float[] expected = ImageResize.Resize(ImageFile.Read(PathOf("a.png")).Crop(12, 2, 8, 8), 8, 8);
        using ImageSet set = ImageSets.Open(PathOf("a.png"), new ImageSetOptions { Size = 8, Crop = new ImageCrop(12, 2, 100, 0) });
        Assert.That(set.Load(0), Is.EqualTo(expected));
        using ImageSet outside = ImageSets.Open(PathOf("a.png"), new ImageSetOptions { Size = 8, Crop = new ImageCrop(20, 0, 5, 0) });
        Assert.That(Assert.Throws<FileFormatException>(() => outside.Load(0))!.Message, Does.Contain("a.png").And.Contain("20 x 10"));
    }

    [Test]
    public void Pictures_of_a_turned_camera_are_turned_upright_or_left_as_stored()
    {
        string path = Goldens.PathOf("pictures/exif6.jpg");
        using ImageSet upright = ImageSets.Open(path, new ImageSetOptions { Size = 8 });
        using ImageSet stored = ImageSets.Open(path, new ImageSetOptions { Size = 8, Orientation = ImageOrientation.Raw });
        Assert.That(upright.Load(0), Is.EqualTo(ImageResize.Resize(ImageFile.Read(path), 8, 8)));
        Assert.That(stored.Load(0), Is.EqualTo(ImageResize.Resize(ImageFile.Read(path, ImageOrientation.Raw), 8, 8)).And.Not.EqualTo(
            upright.Load(0)));
        Assert.That(stored.Identity, Is.Not.EqualTo(upright.Identity), "a cache of one is not the other's");
    }

    [Test]
    public void Tar_files_have_the_same_images_as_the_folder()
    {
        Picture("pictures/a.png", 20, 10);
        Picture($"pictures/{new string('d', 90)}/{new string('n', 120)}.png", 9, 9);
        Write("pictures/a/readme.txt", [1]);
        TarArchive.CreateFromDirectory(PathOf("pictures"), PathOf("1.tar"), includeBaseDirectory: false);
        TarArchive.CreateFromDirectory(PathOf("pictures"), PathOf("2.tar"), includeBaseDirectory: true);
        using ImageSet files = ImageSets.Open(PathOf("pictures"), new ImageSetOptions { Size = 12 });
        using ImageSet tar = ImageSets.Open(PathOf("*.tar"), new ImageSetOptions { Size = 12 });
        Assert.That((files.Count, tar.Count), Is.EqualTo((2, 4)));
        foreach (int i in Enumerable.Range(0, 4))
        {
            int same = Enumerable.Range(0, 2).Single(j => Path.GetFileName(files.NameOf(j)) == Path.GetFileName(tar.NameOf(i)));
            Assert.That(tar.Load(i), Is.EqualTo(files.Load(same)));
        }
        Assert.That(tar.NameOf(0), Does.Contain("1.tar/"));
        Directory.CreateDirectory(PathOf("empty"));
        TarArchive.CreateFromDirectory(PathOf("empty"), PathOf("3.tar"), includeBaseDirectory: true);
        Assert.That(Assert.Throws<IOException>(() => ImageSets.Open(PathOf("3.tar"), new ImageSetOptions()))!.Message,
            Does.Contain("3.tar"));
    }

    [Test]
    public void A_packed_set_is_the_set_bit_for_bit()
    {
        Picture("same/a.png", 16, 16);
        Picture("same/b.png", 16, 16);
        Picture("other/a.png", 16, 16);
        Picture("other/b.png", 31, 17);
        foreach ((string name, int valueBytes) in new[] { ("same", 1), ("other", 4) })
        {
            using ImageSet set = ImageSets.Open(PathOf(name), new ImageSetOptions { Size = 16 });
            string path = PathOf($"{name}.pack");
            int packed = 0;
            PackedSet.Write(set, path, new PackOptions { Threads = 3, Progress = () => packed++ });
            using var opened = (PackedSet)ImageSets.Open(path, new ImageSetOptions());
            Assert.That((opened.Count, opened.Size, opened.ValueBytes, opened.Skipped, packed), Is.EqualTo((2, 16, valueBytes, 0, 2)));
            for (int i = 0; i < 2; i++) Assert.That(opened.Load(i), Is.EqualTo(set.Load(i)));
            Assert.Throws<ArgumentOutOfRangeException>(() => opened.Load(2));
            Assert.Throws<ArgumentException>(() => ImageSets.Open(path, new ImageSetOptions { Size = 8 }));
        }
    }

    [Test]
    public void A_packed_set_is_kept_until_a_file_or_option_changes()
    {
        Picture("a.png", 20, 10);
        string cache = PathOf("cache");
        PackedSet For(int size, ImageCrop? crop = null)
        {
            using ImageSet set = ImageSets.Open(PathOf("*.png"), new ImageSetOptions { Size = size, Crop = crop });
            return PackedSet.For(set, cache, new PackOptions());
        }
        For(8).Dispose();
        string path = Directory.GetFiles(cache).Single();
        DateTime made = File.GetLastWriteTimeUtc(path);
        For(8).Dispose();
        Assert.That((Directory.GetFiles(cache).Single(), File.GetLastWriteTimeUtc(path)), Is.EqualTo((path, made)));
        For(9).Dispose();
        For(8, new ImageCrop(1, 1, 5, 5)).Dispose();
        Picture("b.png", 8, 8);
        using (PackedSet two = For(8)) Assert.That(two.Count, Is.EqualTo(2));
        File.SetLastWriteTimeUtc(PathOf("a.png"), DateTime.UnixEpoch);
        For(8).Dispose();
        Assert.That(Directory.GetFiles(cache), Has.Length.EqualTo(5));
        foreach (string file in Directory.GetFiles(cache)) File.WriteAllBytes(file, File.ReadAllBytes(file)[..^3]);
        using PackedSet again = For(8);
        Assert.That(again.Load(0), Has.Length.EqualTo(192), "a damaged one is made again");
    }

    [Test]
    public void Pictures_that_cannot_be_read_are_left_out_or_stop_the_packing()
    {
        Picture("a.png", 20, 10);
        Write("b.png", [.. File.ReadAllBytes(PathOf("a.png")).Take(60)]);
        Picture("c.png", 8, 8);
        using ImageSet set = ImageSets.Open(folder, new ImageSetOptions { Size = 8 });
        List<string> warnings = [];
        using (var packed = PackedSet.For(set, PathOf("cache"), new PackOptions { Warn = warnings.Add }))
        {
            Assert.That((packed.Count, packed.Skipped), Is.EqualTo((2, 1)));
            Assert.That(packed.Load(1), Is.EqualTo(set.Load(2)));
            Assert.That(warnings, Has.Count.EqualTo(1).And.Some.Contains("b.png"));
        }
        Assert.That(Assert.Throws<FileFormatException>(
            () => PackedSet.For(set, PathOf("cache"), new PackOptions { Strict = true }))!.Message, Does.Contain("b.png"));
        Assert.That(Directory.GetFiles(PathOf("cache")), Has.Length.EqualTo(1), "and nothing half-written");
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Throws<OperationCanceledException>(() => PackedSet.Write(set, PathOf("x.pack"), new PackOptions(), cancelled.Token));
        Assert.That(File.Exists(PathOf("x.pack")), Is.False);
        using ImageSet none = ImageSets.Open(PathOf("b.png"), new ImageSetOptions());
        Assert.That(Assert.Throws<FileFormatException>(() => PackedSet.Write(none, PathOf("x.pack"), new PackOptions()))!.Message,
            Does.Contain("none of the 1 images"));
    }

    [Test]
    public void Damage_to_a_packed_file_is_found()
    {
        Picture("a.png", 20, 10);
        using ImageSet set = ImageSets.Open(PathOf("a.png"), new ImageSetOptions { Size = 4 });
        string path = PathOf("a.pack");
        PackedSet.Write(set, path, new PackOptions());
        byte[] good = File.ReadAllBytes(path);
        for (int at = 0; at < good.Length; at++)
        {
            byte[] bad = [.. good];
            bad[at] ^= 4;
            File.WriteAllBytes(path, bad);
            Assert.Throws<FileFormatException>(LoadAll, $"byte {at}");
            File.WriteAllBytes(path, good[..at]);
            Assert.Throws<FileFormatException>(LoadAll, $"{at} bytes");
        }
        File.WriteAllBytes(path, [.. good, 0]);
        Assert.Throws<FileFormatException>(LoadAll);

        void LoadAll()
        {
            using var packed = PackedSet.Open(path);
            for (int i = 0; i < packed.Count; i++) packed.Load(i);
        }
    }

    private string PathOf(string name) => Path.Combine(folder, name);

    private void Write(string name, byte[] content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(PathOf(name))!);
        File.WriteAllBytes(PathOf(name), content);
    }

    private void Copy(string golden, string name) => Write(name, File.ReadAllBytes(Goldens.PathOf(golden)));

    /// <summary>A picture of random bytes that its name and size determine.</summary>
    private void Picture(string name, int width, int height)
    {
        byte[] samples = new byte[3 * width * height];
        new Random(width * 1000 + height + name.Length).NextBytes(samples);
        Directory.CreateDirectory(Path.GetDirectoryName(PathOf(name))!);
        ImageFile.WritePng(PathOf(name), new Image(width, height, 3, 8, samples));
    }
}
