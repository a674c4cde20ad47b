using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Formats.Tests;

/// <summary>Archives are written by .NET's own writer, in each of its formats.</summary>
public sealed class TarFileTests
{
    private static readonly string LongName = $"{new string('a', 90)}/{new string('b', 120)}/ü.png";

    [TestCase(TarEntryFormat.V7)]
    [TestCase(TarEntryFormat.Ustar)]
    [TestCase(TarEntryFormat.Pax)]
    [TestCase(TarEntryFormat.Gnu)]
    public void Entries_have_their_names_and_contents(TarEntryFormat format)
    {
        string middle = format is TarEntryFormat.Pax or TarEntryFormat.Gnu ? LongName : format == TarEntryFormat.Ustar
            ? $"{new string('p', 120)}/q.png" : "q.png";
        byte[][] contents = [new byte[1], [], [.. Enumerable.Range(0, 1025).Select(i => (byte)i)]];
        string[] names = ["first.png", middle, "dir/last.png"];
        byte[] archive = Archive(format, [.. names.Zip(contents)]);
        using var tar = TarFile.Open(Files.Write("x.tar", archive));
        Assert.That(tar.Entries.Select(e => e.Name), Is.EqualTo(names));
        foreach ((TarEntry entry, byte[] content) in tar.Entries.Zip(contents))
            Assert.That(archive.AsSpan((int)entry.Position, (int)entry.Length).SequenceEqual(content), entry.Name);
    }

    [Test]
    public void Folders_and_links_are_passed_over()
    {
        string path = Files.Temporary("x.tar");
        using (FileStream stream = File.Create(path))
        using (var writer = new TarWriter(stream))
        {
            writer.WriteEntry(new PaxGlobalExtendedAttributesTarEntry(new Dictionary<string, string> { ["path"] = "not this" }));
            writer.WriteEntry(new PaxTarEntry(TarEntryType.Directory, "folder/"));
            writer.WriteEntry(new PaxTarEntry(TarEntryType.SymbolicLink, "link.png") { LinkName = "../../etc/passwd" });
            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "file.png") { DataStream = new MemoryStream([7]) });
        }
        using var tar = TarFile.Open(path);
        Assert.That(tar.Entries.Select(e => (e.Name, e.Length)), Is.EqualTo(new[] { ("file.png", 1L) }));
        Assert.That(tar.Links, Is.EqualTo(new[] { "link.png" }));
    }

    [Test]
    public void An_image_is_read_from_its_part_of_the_file_alone()
    {
        byte[] png = File.ReadAllBytes(Files.Golden("images/synth_20x24.png"));
        byte[] archive = Archive(TarEntryFormat.Ustar, [("cut.png", png[..^20]), ("whole.png", png), ("rest.png", png[^20..])]);
        using var tar = TarFile.Open(Files.Write("x.tar", archive));
        Image expected = ImageFile.Read(Files.Golden("images/synth_20x24.png"));
        Assert.That(tar.ReadImage(tar.Entries[1]).Samples, Is.EqualTo(expected.Samples));
        Assert.That(Assert.Throws<FileFormatException>(() => tar.ReadImage(tar.Entries[0]))!.Message, Does.StartWith("cut.png"));
        Assert.That(Assert.Throws<FileFormatException>(() => tar.ReadImage(tar.Entries[0] with { Length = archive.Length }))!.Message,
            Does.Contain("past the end"));
    }

    [Test]
    public void Every_truncation_is_an_error_or_ends_where_an_entry_does()
    {
        byte[] archive = Archive(TarEntryFormat.Pax, [(LongName, new byte[700]), ("b.png", new byte[10])]);
        int whole = archive.AsSpan().LastIndexOfAnyExcept((byte)0) / 512 * 512; // the last header
        HashSet<int> counts = [];
        for (int length = 0; length < archive.Length; length++)
        {
            string path = Files.Write("x.tar", archive[..length]);
            try
            {
                using var tar = TarFile.Open(path);
                counts.Add(tar.Entries.Count);
                Assert.That(length % 512 == 0 || length > whole || tar.Entries.Count == 1, $"{length} bytes");
                Assert.That(tar.Entries.All(e => e.Position + e.Length <= length));
            }
            catch (FileFormatException e)
            {
                Assert.That(e.Message, Does.StartWith("x.tar: "));
            }
        }
        Assert.That(counts, Does.Contain(1).And.Contain(2));
    }

    [Test]
    public void Other_files_are_refused()
    {
        Refused([], "512 bytes");
        Refused(new byte[100], "512 bytes");
        Refused([0x1f, 0x8b, .. new byte[600]], "compressed data is damaged");
        Refused([0x42, 0x5a, 0x68, .. new byte[600]], "unpack other compressions");
        byte[] archive = Archive(TarEntryFormat.Ustar, [("a.png", [1])]);
        Refused(With(archive, 124, "77777777777\0"u8), "says that it has 8589934591 bytes");
        Refused(With(archive, 124, [0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            "says that it has 9223372036854775807 bytes");
        Refused(With(archive, 124, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "octal");
        Refused(With(archive, 124, "0000000009x\0"u8), "octal");
        Refused([.. archive[..1024], .. "x"u8, .. new byte[600]], "after 1 entries");
        foreach (string record in new[] { "5 a=b", "999 path=x\n", "-6 p=x\n", "7 path\n", "x", "0 =\n", "13 size=1e99\n",
            "20 size=-1        \n" })
        {
            byte[] pax = Archive(TarEntryFormat.Ustar, [("a.png", Encoding.UTF8.GetBytes(record)), ("b.png", [])]);
            Refused(With(pax, 156, "x"u8), "extended header");
        }
        byte[] large = Archive(TarEntryFormat.Ustar, [("a.png", new byte[70_000])]);
        Refused(With(large, 156, "L"u8), "at most 65536");
    }

    [Test]
    public void A_file_without_entries_is_empty()
    {
        using var tar = TarFile.Open(Files.Write("x.tar", new byte[1024]));
        Assert.That(tar.Entries, Is.Empty);
    }

    [TestCase(0)]
    [TestCase(512)]
    [TestCase(1024)]
    [TestCase(1 << 17)]
    public void Joined_files_are_read_to_the_end(int zeros)
    {
        byte[] first = Archive(TarEntryFormat.Pax, [("a.png", [1, 2])]), second = Archive(
            TarEntryFormat.Gnu, [(LongName, [3]), ("c.png", [])]);
        byte[] joined = [.. first, .. new byte[zeros], .. second, .. second];
        using (var tar = TarFile.Open(Files.Write("x.tar", joined)))
        {
            Assert.That(tar.Entries.Select(e => e.Name), Is.EqualTo(new[] { "a.png", LongName, "c.png", LongName, "c.png" }));
            Assert.That(tar.ReadStart(tar.Entries[3], 10), Is.EqualTo(new byte[] { 3 }));
        }
        joined[first.Length + zeros + 3] ^= 1;
        Refused(joined, $"the header at byte {first.Length + zeros}, after 1 entries, is damaged");
        Refused(joined[..(first.Length + zeros + 100)], "truncated");
    }

    [Test]
    public void Names_that_are_not_UTF_8_are_names()
    {
        byte[] archive = With(Archive(TarEntryFormat.Ustar, [("a_.png", "P5 1 1 255\n1"u8.ToArray())]), 1, [0xff]);
        using var tar = TarFile.Open(Files.Write("x.tar", archive));
        Assert.That(tar.Entries.Single().Name, Does.EndWith(".png"));
        Assert.That(tar.ReadImage(tar.Entries[0]).Samples, Is.EqualTo(new[] { (byte)'1' }));
    }

    [Test]
    public void Gzip_is_unpacked_out_of_sight()
    {
        byte[] archive = Archive(
            TarEntryFormat.Pax, [(LongName, [.. Enumerable.Range(0, 100_000).Select(i => (byte)(i * i >> 3))]), ("b.png", [1])]);
        string folder = Files.Temporary("unpacked");
        // In one member, and in three.
        foreach (byte[] packed in (byte[][])[Gzip(archive), [.. Gzip(archive[..70_000]), .. Gzip([]), .. Gzip(archive[70_000..])]])
        {
            using var tar = TarFile.Open(Files.Write("x.tgz", packed), folder);
            Assert.That(tar.Entries.Select(e => e.Name), Is.EqualTo(new[] { LongName, "b.png" }));
            Assert.That(tar.ReadStart(tar.Entries[0], 1 << 20),
                Is.EqualTo(archive.AsSpan((int)tar.Entries[0].Position, 100_000).ToArray()));
            if (!OperatingSystem.IsWindows()) Assert.That(Directory.GetFiles(folder), Is.Empty);
        }
        Assert.That(Directory.GetFiles(folder), Is.Empty);
    }

    [Test]
    public void Every_truncation_of_gzip_is_an_error_that_names_the_file()
    {
        byte[] archive = Archive(TarEntryFormat.Ustar, [("a.png", [1]), ("b.png", [2])]);
        // At an entry's end too, where the tar file alone would be whole.
        foreach (byte[] packed in (byte[][])[Gzip(archive), [.. Gzip(archive[..1024]), .. Gzip(archive[1024..])]])
        {
            int member = packed.Length > Gzip(archive).Length ? Gzip(archive[..1024]).Length : 0;
            for (int length = 2; length < packed.Length; length++)
                if (length != member) Refused(packed[..length], "");
        }
    }

    [Test]
    public void Any_length_of_gzip_is_read_to_its_end()
    {
        // Members that end where the reader's buffer does.
        byte[] random = new byte[9000];
        new Random(1).NextBytes(random);
        for (int length = 7400; length < 8300; length += 1)
        {
            byte[] archive = Archive(TarEntryFormat.Ustar, [("a.png", random[..length])]);
            byte[] cut = archive[..(512 + length)];
            using var tar = TarFile.Open(Files.Write("x.tgz", [.. Gzip(cut), .. Gzip(archive[cut.Length..])]));
            Assert.That(tar.Entries.Single().Length, Is.EqualTo(length));
        }
    }

    [Test]
    public void A_bomb_is_refused_before_it_fills_the_disk()
    {
        string path = Files.Write("x.tgz", Gzip(new byte[50_000_000])), folder = Files.Temporary("bomb");
        FileFormatException error = Assert.Throws<FileFormatException>(() => TarFile.Open(path, folder, 1_000_000).Dispose())!;
        Assert.That(error.Message, Does.StartWith("x.tgz: ").And.Contain("more than 1000000 bytes").And.Contain("gunzip"));
        Assert.That(Directory.GetFiles(folder), Is.Empty);
    }

    internal static byte[] Gzip(byte[] content)
    {
        using var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true)) gzip.Write(content);
        return packed.ToArray();
    }

    internal static byte[] Archive(TarEntryFormat format, params (string Name, byte[] Content)[] entries)
    {
        using var stream = new MemoryStream();
        using (var writer = new TarWriter(stream, format, leaveOpen: true))
        {
            foreach ((string name, byte[] content) in entries)
            {
                System.Formats.Tar.TarEntry entry = format switch
                {
                    TarEntryFormat.V7 => new V7TarEntry(TarEntryType.V7RegularFile, name),
                    TarEntryFormat.Ustar => new UstarTarEntry(TarEntryType.RegularFile, name),
                    TarEntryFormat.Pax => new PaxTarEntry(TarEntryType.RegularFile, name),
                    _ => new GnuTarEntry(TarEntryType.RegularFile, name),
                };
                entry.DataStream = new MemoryStream(content);
                writer.WriteEntry(entry);
            }
        }
        return stream.ToArray();
    }

    /// <summary>The first header changed, and its checksum made right again.</summary>
    internal static byte[] With(byte[] archive, int at, ReadOnlySpan<byte> bytes)
    {
        byte[] changed = [.. archive];
        bytes.CopyTo(changed.AsSpan(at));
        FixChecksum(changed);
        return changed;
    }

    internal static void FixChecksum(byte[] archive)
    {
        if (archive.Length < 512) return;
        archive.AsSpan(148, 8).Fill((byte)' ');
        int sum = archive.Take(512).Sum(b => b);
        Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ").CopyTo(archive.AsSpan(148));
    }

    private static void Refused(byte[] content, string part)
    {
        string path = Files.Write("x.tar", content);
        Assert.That(Assert.Throws<FileFormatException>(() => TarFile.Open(path).Dispose())!.Message,
            Does.StartWith("x.tar: ").And.Contain(part));
    }
}
