using System.Formats.Tar;
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
        string middle = format is TarEntryFormat.Pax or TarEntryFormat.Gnu ? LongName : format == TarEntryFormat.Ustar ? $"{new string('p', 120)}/q.png" : "q.png";
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
        Assert.That(Assert.Throws<FileFormatException>(() => tar.ReadImage(tar.Entries[0] with { Length = archive.Length }))!.Message, Does.Contain("past the end"));
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
        Refused([0x1f, 0x8b, .. new byte[600]], "gunzip");
        byte[] archive = Archive(TarEntryFormat.Ustar, [("a.png", [1])]);
        Refused(With(archive, 124, "77777777777\0"u8), "says that it has 8589934591 bytes");
        Refused(With(archive, 124, [0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "says that it has 9223372036854775807 bytes");
        Refused(With(archive, 124, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), "octal");
        Refused(With(archive, 124, "0000000009x\0"u8), "octal");
        Refused([.. archive[..1024], .. "x"u8, .. new byte[600]], "after 1 entries");
        foreach (string record in new[] { "5 a=b", "999 path=x\n", "-6 p=x\n", "7 path\n", "x", "0 =\n", "13 size=1e99\n", "20 size=-1        \n" })
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
        Assert.That(Assert.Throws<FileFormatException>(() => TarFile.Open(path).Dispose())!.Message, Does.StartWith("x.tar: ").And.Contain(part));
    }
}
