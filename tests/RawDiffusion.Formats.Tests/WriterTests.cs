using System.IO.Compression;
using FsCheck;
using FsCheck.Fluent;
using RawDiffusion.Formats.PyTorch;

namespace RawDiffusion.Formats.Tests;

public sealed class WriterTests
{
    /// <summary>A few tensors of any type, shape (also empty and scalar) and content, with odd names.</summary>
    private static Arbitrary<KeyValuePair<string, Tensor>[]> Tensors()
    {
        Gen<Tensor> tensor =
            from type in Gen.Elements(Enum.GetValues<TensorType>())
            from shape in Gen.Choose(0, 4).ArrayOf().Where(s => s.Length <= 4)
            from bytes in Gen.Choose(0, 255).Select(b => (byte)b).ArrayOf(shape.Aggregate(type.Size(), (n, d) => n * d))
            select Tensor.FromBytes(type, shape, bytes);
        Gen<string> name = Gen.Elements("w", "blocks.0.é", "quote\"\\", "line\nend", "雪", "").Select(n => n);
        return (
            from tensors in tensor.ArrayOf()
            from names in name.ArrayOf(tensors.Length)
            select tensors.Select((t, i) => KeyValuePair.Create($"{names[i]}.{i}", t)).ToArray()).ToArbitrary();
    }

    [Test]
    public void Safetensors_give_back_what_was_written() => Prop.ForAll(Tensors(), tensors =>
    {
        string path = Files.Temporary("x.safetensors");
        SafeTensors.Write(path, tensors, new Dictionary<string, string> { ["note"] = "\"é\"\n" });
        using TensorFile found = SafeTensors.Open(path);
        using var expected = new TensorFile(tensors);
        CheckpointTests.RequireEqual(found, expected);
        Assert.That(found.Metadata["note"], Is.EqualTo("\"é\"\n"));
    }).QuickCheckThrowOnFailure();

    [Test]
    public void PyTorch_files_give_back_what_was_written() => Prop.ForAll(Tensors(), tensors =>
    {
        string path = Files.Temporary("x.pt");
        PyTorchCheckpoint.Write(path, tensors);
        if (tensors.Length == 0) return;
        using TensorFile found = PyTorchCheckpoint.Open(path);
        using var expected = new TensorFile(tensors);
        CheckpointTests.RequireEqual(found, expected);
    }).QuickCheckThrowOnFailure();

    [Test]
    public void Safetensors_data_is_aligned_whatever_the_order()
    {
        string path = Files.Temporary("x.safetensors");
        SafeTensors.Write(path, [
            new("flag", Tensor.FromBytes(TensorType.Bool, [3], [1, 0, 1])),
            new("count", Tensor.FromInt64s([], [7])),
            new("w", Tensor.FromSingles([1], [2])),
        ]);
        byte[] bytes = File.ReadAllBytes(path);
        int header = BitConverter.ToInt32(bytes);
        Assert.That(header % 8, Is.Zero);
        Assert.That(bytes[(8 + header)..], Is.EqualTo(new byte[] { 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 1 }));
        using TensorFile file = SafeTensors.Open(path);
        Assert.That(file.Names, Is.EqualTo(new[] { "flag", "count", "w" }));
    }

    [Test]
    public void PyTorch_files_are_stored_zip_archives_with_right_checksums_and_aligned_data()
    {
        string path = Files.Temporary("x.pt");
        using (TensorFile source = Checkpoint.Open(Files.Golden("mini_ema_old_layout.pt")))
            PyTorchCheckpoint.Write(path, source.Names.Select(n => KeyValuePair.Create(n, source[n])));
        using ZipArchive zip = ZipFile.OpenRead(path);
        Assert.That(zip.Entries.Select(e => e.FullName), Is.EqualTo(new[]
        {
            "archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/data/1", "archive/data/2", "archive/version",
        }));
        byte[] file = File.ReadAllBytes(path);
        foreach (ZipArchiveEntry entry in zip.Entries)
        {
            Assert.That(entry.CompressedLength, Is.EqualTo(entry.Length));
            using Stream stream = entry.Open();
            byte[] content = new byte[entry.Length];
            stream.ReadExactly(content);
            Assert.That(Checksum(content), Is.EqualTo(entry.Crc32));
            if (entry.FullName.StartsWith("archive/data/")) Assert.That(file.AsSpan().IndexOf(content) % 64, Is.Zero);
        }

        // Bit by bit, unlike the table that writes the files.
        static uint Checksum(byte[] bytes)
        {
            uint crc = ~0u;
            foreach (byte b in bytes)
            {
                for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (((crc ^ (uint)(b >> bit)) & 1) * 0xEDB88320u);
            }
            return ~crc;
        }
    }

    [Test]
    public void A_file_can_be_converted_in_place()
    {
        string path = Files.Temporary("x.pt");
        File.Copy(Files.Golden("quirks.pt"), path, overwrite: true);
        using (TensorFile source = Checkpoint.Open(path))
            SafeTensors.Write(path, source.Names.Select(n => KeyValuePair.Create(n, source[n])));
        using TensorFile found = Checkpoint.Open(path);
        using TensorFile expected = Checkpoint.Open(Files.Golden("quirks.pt"));
        CheckpointTests.RequireEqual(found, expected);
    }

    [Test]
    public void The_same_tensors_give_the_same_bytes()
    {
        string first = Files.Temporary("1.pt"), second = Files.Temporary("2.pt");
        KeyValuePair<string, Tensor>[] tensors = [new("w", Tensor.FromSingles([2], [1, 2]))];
        PyTorchCheckpoint.Write(first, tensors);
        PyTorchCheckpoint.Write(second, tensors);
        Assert.That(File.ReadAllBytes(second), Is.EqualTo(File.ReadAllBytes(first)));
    }

    [TestCase(".safetensors")]
    [TestCase(".pt")]
    public void A_write_that_fails_leaves_the_old_file_and_no_other(string extension)
    {
        string path = Files.Temporary("kept" + extension);
        File.WriteAllText(path, "old");
        KeyValuePair<string, Tensor>[] tensors = [new("w", Tensor.FromSingles([1], [1])),
            new("broken", new Tensor(TensorType.UInt8, [1], _ => throw new IOException("unplugged")))];
        Assert.That(Assert.Throws<IOException>(() => Write(tensors))!.Message, Is.EqualTo("unplugged"));
        Assert.Throws<ArgumentException>(() => Write([tensors[0], tensors[0]]));
        Assert.That(File.ReadAllText(path), Is.EqualTo("old"));
        Assert.That(Directory.GetFiles(Path.GetDirectoryName(path)!, "kept*"), Is.EqualTo(new[] { path }));
        Assert.Throws<DirectoryNotFoundException>(() => SafeTensors.Write(Files.Temporary("none/x"), []));

        void Write(KeyValuePair<string, Tensor>[] what)
        {
            if (extension == ".pt") PyTorchCheckpoint.Write(path, what);
            else SafeTensors.Write(path, what);
        }
    }

    [Test]
    public void An_empty_state_dict_is_written_as_an_empty_OrderedDict()
    {
        string path = Files.Temporary("empty.pt");
        PyTorchCheckpoint.Write(path, []);
        using var archive = PyTorchArchive.Open(path);
        Assert.That(archive.Root, Is.InstanceOf<OrderedDictionary<object, object?>>().And.Empty);
    }

    [Test]
    public void Tensors_check_their_shape()
    {
        Assert.Throws<ArgumentException>(() => Tensor.FromSingles([2, 2], [1, 2, 3]));
        Assert.Throws<ArgumentException>(() => Tensor.FromInt64s([], []));
        Assert.Throws<ArgumentException>(() => Tensor.FromBytes(TensorType.Float16, [2], [1, 2, 3]));
        Assert.Throws<ArgumentException>(() => _ = new Tensor(TensorType.Float64, [1 << 30, int.MaxValue], _ => { }));
        Assert.Throws<ArgumentException>(() => _ = new Tensor(TensorType.UInt8, [-1], _ => { }));
        Assert.Throws<ArgumentException>(() => Tensor.FromSingles([1], [1]).CopyTo(new float[2]));
        Assert.Throws<KeyNotFoundException>(() => _ = new TensorFile([])["w"]);
    }
}
