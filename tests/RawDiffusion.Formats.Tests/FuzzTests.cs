using System.Diagnostics;
using RawDiffusion.Formats.Images;
using RawDiffusion.Formats.Tests.Images;
using TarEntryFormat = System.Formats.Tar.TarEntryFormat;

namespace RawDiffusion.Formats.Tests;

/// <summary>
/// Small good files, damaged at random: a reader may give a result or a <see cref="FileFormatException"/>, nothing else,
/// and takes little memory and time. Seeds are fixed, so a failure is found again.
/// </summary>
public sealed class FuzzTests
{
    private const int Mutations = 2500;
    private const long MaxBytes = 64 << 20;

    /// <summary>A few bytes of BMP, TGA or WebP may name a size of 2^28 samples.</summary>
    private const long MaxPictureBytes = 1 << 30;

    /// <summary>Far above what any of these files needs; a machine under load may be slow, a runaway loop is slower.</summary>
    private static readonly TimeSpan MaxTime = TimeSpan.FromSeconds(5);

    [TestCase("quirks.safetensors")]
    [TestCase("quirks.pt")]
    [TestCase("quirks_legacy.pt")]
    [TestCase("mini_ema_old_layout.pt")]
    public void Checkpoints(string name) => Fuzz(name, File.ReadAllBytes(Files.Golden(name)), path =>
    {
        using TensorFile file = Checkpoint.Open(path);
        foreach (string tensor in file.Names) file[tensor].ToDoubles();
    });

    [Test]
    public void Written_checkpoints()
    {
        string path = Files.Temporary("seed.pt");
        PyTorchCheckpoint.Write(path, [new("w", Tensor.FromSingles([2, 2], [1, 2, 3, 4])), new("n", Tensor.FromInt64s([], [5]))]);
        Fuzz("written.pt", File.ReadAllBytes(path), path => Checkpoint.Open(path).Dispose());
    }

    [TestCase(0, 8, false)]
    [TestCase(2, 16, true)]
    [TestCase(3, 4, true)]
    [TestCase(6, 8, false)]
    public void Png(int colourType, int depth, bool interlaced)
    {
        var random = new Random(7);
        int[] samples = [.. Enumerable.Range(0, 9 * 7 * 4).Select(_ => random.Next(1 << depth))];
        byte[] seed = PngEncoder.Encode(9, 7, depth, colourType, interlaced, samples, PngEncoder.Chunk("PLTE"u8, new byte[48]),
            PngEncoder.Chunk("tRNS"u8, [1, 2]));
        // With checksums made right again the damage gets past them.
        Fuzz("x.png", seed, path => ImageFile.Read(path), PngEncoder.FixChecksums);
    }

    [TestCase("P6\n#\n5 4\n255\n")]
    [TestCase("P5 5 4 65535\n")]
    [TestCase("P3 2 2 15 ")]
    public void Pnm(string header)
    {
        byte[] samples = header.StartsWith("P3") ? "1 2 3 4 5 6 7 8 9 10 11 12"u8.ToArray() : new byte[60];
        Fuzz("x.ppm", [.. PickleBuilder.Bytes(header), .. samples], path => ImageFile.Read(path));
    }

    [TestCase("Colour")]
    [TestCase("Gray")]
    [TestCase("Progressive")]
    public void Jpeg(string kind)
    {
        Fuzz("x.jpg", JpegTests.Bytes(kind), path => ImageFile.Read(path));
    }

    [TestCase("lossless.webp")]
    [TestCase("lossy.webp")]
    [TestCase("plain.bmp")]
    [TestCase("plain.tga")]
    public void Picture(string name) => FuzzPicture(name, Mutations);

    /// <summary>The long run, by name, a format a process; NUnit's parameter <c>mutations</c> sets the number for each file.</summary>
    [Explicit("takes minutes")]
    [TestCase("adam7.png", "gray_alpha.png", "palette.png", "rgb16.png")]
    [TestCase("baseline.jpg", "progressive.jpg", "exif6.jpg", "cmyk.jpg")]
    [TestCase("lossless.webp", "lossy.webp")]
    [TestCase("plain.bmp")]
    [TestCase("plain.tga")]
    [TestCase("plain.ppm", "max16.ppm")]
    public void Pictures_at_length(params string[] names)
    {
        int mutations = TestContext.Parameters.Get("mutations", 200_000) / names.Length;
        foreach (string name in names) FuzzPicture(name, mutations);
    }

    [TestCase(TarEntryFormat.Pax)]
    [TestCase(TarEntryFormat.Gnu)]
    public void Tar(TarEntryFormat format)
    {
        byte[] seed = TarFileTests.Archive(
            format, (new string('n', 200), "P5 2 2 255\n1234"u8.ToArray()), ("b.pgm", "P5 1 1 255\n1"u8.ToArray()));
        Fuzz("x.tar", seed, path =>
        {
            using var file = TarFile.Open(path);
            foreach (TarEntry entry in file.Entries) file.ReadImage(entry);
        }, TarFileTests.FixChecksum);
    }

    private static void FuzzPicture(string name, int mutations)
    {
        Fuzz(name, File.ReadAllBytes(Files.Golden($"pictures/{name}")), path => ImageFile.Read(path), name.EndsWith(".png")
            ? PngEncoder.FixChecksums : null,
            mutations, MaxPictureBytes);
        // The library's buffers are not the garbage collector's.
        using var process = Process.GetCurrentProcess();
        TestContext.Out.WriteLine($"{name}: peak of the process {process.PeakWorkingSet64 >> 20} MiB");
        Assert.That(process.PeakWorkingSet64, Is.LessThan(MaxPictureBytes));
    }

    [Test]
    public void GzippedTar()
    {
        byte[] seed = TarFileTests.Gzip(
            TarFileTests.Archive(TarEntryFormat.Pax, ("a.pgm", "P5 2 2 255\n1234"u8.ToArray()), ("b.pgm", "P5 1 1 255\n1"u8.ToArray())));
        Fuzz("x.tgz", seed, path =>
        {
            using var file = TarFile.Open(path);
            foreach (TarEntry entry in file.Entries) file.ReadImage(entry);
        });
    }

    private static void Fuzz(
        string name, byte[] seed, Action<string> read, Action<byte[]>? repair = null, int mutations = Mutations, long maxBytes = MaxBytes)
    {
        var random = new Random(12345);
        int refused = 0;
        TimeSpan slowest = default;
        for (int i = 0; i < mutations; i++)
        {
            byte[] damaged = Damage(seed, random);
            if (i % 2 == 0) repair?.Invoke(damaged);
            string path = Files.Write(name, damaged);
            long before = GC.GetAllocatedBytesForCurrentThread();
            long start = Stopwatch.GetTimestamp();
            try
            {
                read(path);
            }
            catch (FileFormatException e)
            {
                refused++;
                Assert.That(e.Message.Any(char.IsControl), Is.False, e.Message);
            }
            catch (Exception e)
            {
                Assert.Fail($"mutation {i}: {e}");
            }
            TimeSpan took = Stopwatch.GetElapsedTime(start);
            if (took > slowest) slowest = took;
            Assert.That(took, Is.LessThan(MaxTime), $"mutation {i}");
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(maxBytes), $"mutation {i}");
        }
        TestContext.Out.WriteLine($"{name}: {refused} of {mutations} damaged files refused, slowest {slowest.TotalMilliseconds:0} ms");
        Assert.That(refused, Is.GreaterThan(mutations / 20));
    }

    /// <summary>One to four changes: a bit, a byte, a number made extreme, bytes removed, repeated or cut off.</summary>
    private static byte[] Damage(byte[] seed, Random random)
    {
        byte[] extremes = [0, 1, 0x7f, 0x80, 0xff];
        List<byte> bytes = [.. seed];
        for (int change = random.Next(1, 5); change > 0 && bytes.Count > 8; change--)
        {
            int at = random.Next(bytes.Count), length = Math.Min(random.Next(1, 9), bytes.Count - at);
            switch (random.Next(7))
            {
                case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
                case 1: bytes[at] = (byte)random.Next(256); break;
                case 2: bytes[at] = extremes[random.Next(extremes.Length)]; break;
                case 3: for (int i = 0; i < length; i++) bytes[at + i] = 0xff; break;
                case 4: bytes.RemoveRange(at, length); break;
                case 5: bytes.InsertRange(at, bytes.GetRange(at, length)); break;
                default: if (random.Next(4) == 0) bytes.RemoveRange(at, bytes.Count - at); break;
            }
        }
        return [.. bytes];
    }
}
