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
        byte[] seed = PngEncoder.Encode(9, 7, depth, colourType, interlaced, samples, PngEncoder.Chunk("PLTE"u8, new byte[48]), PngEncoder.Chunk("tRNS"u8, [1, 2]));
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
        JpegTests.RequireLibrary();
        Fuzz("x.jpg", JpegTests.Bytes(kind), path => ImageFile.Read(path));
    }

    [TestCase(TarEntryFormat.Pax)]
    [TestCase(TarEntryFormat.Gnu)]
    public void Tar(TarEntryFormat format)
    {
        byte[] seed = TarFileTests.Archive(format, (new string('n', 200), "P5 2 2 255\n1234"u8.ToArray()), ("b.pgm", "P5 1 1 255\n1"u8.ToArray()));
        Fuzz("x.tar", seed, path =>
        {
            using var file = TarFile.Open(path);
            foreach (TarEntry entry in file.Entries) file.ReadImage(entry);
        }, TarFileTests.FixChecksum);
    }

    [Test]
    public void GzippedTar()
    {
        byte[] seed = TarFileTests.Gzip(TarFileTests.Archive(TarEntryFormat.Pax, ("a.pgm", "P5 2 2 255\n1234"u8.ToArray()), ("b.pgm", "P5 1 1 255\n1"u8.ToArray())));
        Fuzz("x.tgz", seed, path =>
        {
            using var file = TarFile.Open(path);
            foreach (TarEntry entry in file.Entries) file.ReadImage(entry);
        });
    }

    private static void Fuzz(string name, byte[] seed, Action<string> read, Action<byte[]>? repair = null)
    {
        var random = new Random(12345);
        int refused = 0;
        for (int i = 0; i < Mutations; i++)
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
            Assert.That(Stopwatch.GetElapsedTime(start), Is.LessThan(MaxTime), $"mutation {i}");
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(MaxBytes), $"mutation {i}");
        }
        TestContext.Out.WriteLine($"{name}: {refused} of {Mutations} damaged files refused");
        Assert.That(refused, Is.GreaterThan(Mutations / 20));
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
