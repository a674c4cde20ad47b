using System.Buffers.Binary;
using System.Diagnostics;
using System.IO.Compression;
using System.Text;
using RawDiffusion.Formats.PyTorch;
using static RawDiffusion.Formats.Tests.PickleBuilder;

namespace RawDiffusion.Formats.Tests;

/// <summary>Files from strangers: what a pickle or an archive may not do, and what the message says.</summary>
public sealed class ForeignPickleTests
{
    private static readonly byte[] FourFloats = [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64];

    private static string ErrorOf(byte[] content)
    {
        string path = Files.Write("strange.pt", content);
        string message = Assert.Throws<FileFormatException>(() => Checkpoint.Open(path).Dispose())!.Message;
        Assert.That(message, Does.StartWith("strange.pt: ").And.Not.Contain("\n"));
        return message;
    }

    private static byte[] ZipOf(string value) => Zip(Pickle(Dict(("w", value))), ("any root/data/0", FourFloats));

    [Test]
    public void Foreign_calls_are_named_and_nothing_runs()
    {
        string trace = Files.Temporary("trace");
        string[] calls =
        [
            $"cos\nsystem\n({Text("touch " + trace)}tR",
            $"{Text("os")}{Text("system")}\u0093({Text("touch " + trace)}tR",
            $"cposix\nsystem\n({Text("touch " + trace)}tR",
            $"c__builtin__\neval\n({Text("open('" + trace + "', 'w')")}tR",
        ];
        string[] names = ["os.system", "os.system", "posix.system", "builtins.eval"];
        for (int i = 0; i < calls.Length; i++)
        {
            Assert.That(ErrorOf(ZipOf(calls[i])), Does.Contain("no tensor").And.Contain(names[i]));
            Assert.That(ErrorOf(Legacy(Pickle(calls[i]), Pickle("]"))), Does.Contain(names[i]));
        }
        Assert.That(File.Exists(trace), Is.False);
    }

    [TestCase("argparse", "Namespace")]
    [TestCase("torch._utils", "_rebuild_tensor_v2.__globals__")]
    public void Other_globals_in_place_of_weights_are_named(string module, string name) =>
        Assert.That(ErrorOf(ZipOf($"c{module}\n{name}\n")), Does.Contain($"{module}.{name}").And.Contain("no tensor"));

    [TestCase("builtins", "bytes", ")R")]
    [TestCase("torch", "device", "(X\u0003\u0000\u0000\u0000cputR")]
    [TestCase("torch", "float32", "")]
    public void Harmless_globals_beside_the_state_dict_are_accepted(string module, string name, string call)
    {
        string tensor = Tensor("0", 4, 0, [2, 2], [2, 1]);
        byte[] content = Zip(Pickle(Dict(("w", tensor), ("other", $"c{module}\n{name}\n{call}"))), ("any root/data/0", FourFloats));
        using TensorFile file = Checkpoint.Open(Files.Write("other.pt", content));
        Assert.That(file["w"].ToSingles(), Is.EqualTo(new float[] { 1, 2, 3, 4 }));
        Assert.That(file.PassedOver.Single(), Does.StartWith("'other' ("));
    }

    [Test]
    public void Views_that_repeat_too_much_or_leave_their_storage_are_refused()
    {
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [1 << 20, 2], [0, 1]))), Does.Contain("repeats 4 elements"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [1 << 30, 1 << 30], [0, 0]))), Does.Contain("2 GiB"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [1L << 40, 0], [0, 0]))), Does.Contain("natural numbers"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 1, [4], [1]))), Does.Contain("needs element 4"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [2, 2], [long.MaxValue, long.MaxValue]))), Does.Contain("needs element"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, long.MaxValue, [2], [1]))), Does.Contain("needs element"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, -1, [4], [1]))), Does.Contain("negative"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 3, [4], [-1]))), Does.Contain("negative"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [-4], [1]))), Does.Contain("natural numbers"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [4], [1, 1]))), Does.Contain("1 dimensions and 2 strides"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [.. Enumerable.Repeat(1L, 17)], [.. Enumerable.Repeat(1L, 17)]))),
            Does.Contain("17 dimensions"));
    }

    [Test]
    public void Storages_must_be_there_and_have_their_size()
    {
        Assert.That(ErrorOf(ZipOf(Tensor("1", 4, 0, [4], [1]))), Does.Contain("data/1").And.Contain("none"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 5, 0, [4], [1]))), Does.Contain("5 x Float32").And.Contain("16 bytes"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 1L << 40, 0, [4], [1]))), Does.Contain("truncated"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [4], [1], "LongStorage"))), Does.Contain("4 x Int64"));
        Assert.That(ErrorOf(ZipOf(Tensor("0", 4, 0, [4], [1]) + Text("v") + Tensor("0", 4, 0, [4], [1], "IntStorage"))),
            Does.Contain("two types"));
    }

    [Test]
    public void Legacy_storages_must_be_there_and_have_their_size()
    {
        byte[] pickle = Pickle(Dict(("w", Tensor("7", 4, 0, [4], [1]))));
        byte[] keys = Pickle("](" + Text("7") + "e");
        byte[] storage = [4, 0, 0, 0, 0, 0, 0, 0, .. FourFloats];
        using (TensorFile good = Checkpoint.Open(Files.Write("good.pt", Legacy(pickle, keys, storage))))
            Assert.That(good["w"].ToSingles(), Is.EqualTo(new float[] { 1, 2, 3, 4 }));

        Assert.That(ErrorOf(Legacy(pickle, keys, storage[..^1])), Does.Contain("truncated"));
        Assert.That(ErrorOf(Legacy(pickle, keys, [5, .. storage[1..]])), Does.Contain("says 5"));
        Assert.That(ErrorOf(Legacy(pickle, Pickle("]"), storage)), Does.Contain("'7' is not in the list"));
        Assert.That(ErrorOf(Legacy(pickle, Pickle("](" + Text("8") + "e"), storage)), Does.Contain("'8', which no tensor uses"));
        Assert.That(ErrorOf(Legacy(pickle, Pickle("](" + Text("7") + Text("7") + "e"), storage)), Does.Contain("'7'"));
        Assert.That(ErrorOf(Legacy(pickle, Pickle("}"), storage)), Does.Contain("list of storages is missing"));
        byte[] bigEndian = Legacy(pickle, keys, storage);
        bigEndian[bigEndian.AsSpan().IndexOf("little_endian"u8) + 13] = 0x89;
        Assert.That(ErrorOf(bigEndian), Does.Contain("big-endian"));
    }

    [Test]
    public void Copies_of_one_value_over_and_over_are_refused()
    {
        // 30 000 empty tuples in a list, memoised, and then an OrderedDict or a set of that list, again and again.
        string list = "](" + new string(')', 30_000) + "eq\u0000";
        foreach (string call in new[] { "h\u0001(h\u0000tR0", "h\u0001h\u0000\u0085R0" })
        {
            string bomb = list + "0c__builtin__\nset\nq\u0001" + string.Concat(Enumerable.Repeat(call, 10_000));
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.That(ErrorOf(Zip(Pickle(bomb))), Does.Contain("over and over"));
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(100 << 20));
        }
    }

    [Test]
    public void Depth_is_no_danger()
    {
        string nested = ")" + new string('\u0085', 1_000_000);
        Assert.That(ErrorOf(Zip(Pickle(nested))), Does.Contain("a tuple of 1"));
        Assert.That(ErrorOf(Zip(Pickle("}" + nested + "Ns"))), Does.Contain("no tensor"));
        Assert.That(ErrorOf(Zip(Pickle(new string('(', 1_000_000)))), Does.Contain("stack is empty"));
        Assert.That(ErrorOf(Zip(Pickle("}q\u0000" + Text("model") + "h\u0000s"))), Does.Contain("no tensor"));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Numbers_chosen_to_collide_take_no_time(bool integers)
    {
        // Both halves of each number are equal, which .NET's own hash of 64-bit values makes 0.
        string Number(uint i) => integers
            ? Integer((long)i << 32 | i)
            : "G" + Encoding.Latin1.GetString(
            [(byte)(i >> 24), (byte)(i >> 16), (byte)(i >> 8), (byte)i, (byte)(i >> 24), (byte)(i >> 16), (byte)(i >> 8), (byte)i]);
        string items = string.Concat(Enumerable.Range(1, 100_000).Select(i => Number((uint)i) + "N"));
        long start = Stopwatch.GetTimestamp();
        Assert.That(ErrorOf(Zip(Pickle("}(" + items + "u"))), Does.Contain("99994 more"));
        Assert.That(Stopwatch.GetElapsedTime(start), Is.LessThan(TimeSpan.FromSeconds(3)));
    }

    [TestCase("", "stack is empty")]
    [TestCase("0", "stack is empty")]
    [TestCase("N(0t", "stack is empty")]
    [TestCase("N(2t", "stack is empty")]
    [TestCase("e", "mark is missing")]
    [TestCase("N(e", "not a list")]
    [TestCase("}(Nu", "pair up")]
    [TestCase("}NNs", "no tensor")]
    [TestCase("h\u0005", "memo has no entry 5")]
    [TestCase("\u0080\u0006", "newer than 5")]
    [TestCase("\u00fe", "opcode 0xfe")]
    [TestCase("X\u00ff\u00ff\u00ff\u00ff", "4294967295 more bytes")]
    [TestCase("\u008b\u00ff\u00ff\u00ff\u00ff", "-1 more bytes")]
    [TestCase("X\u0001\u0000\u0000\u0000\u00ff", "UTF-8")]
    [TestCase("NNR", "known global")]
    [TestCase("ccollections\nOrderedDict\nK\u0001\u0085R", "found collections.OrderedDict")]
    [TestCase("NQ", "persistent id")]
    [TestCase("N}b", "attributes")]
    [TestCase("NK\u0001\u0093", "name is not a string")]
    [TestCase("N", "found None")]
    [TestCase("]", "found a list of 0")]
    [TestCase("}", "no tensor")]
    public void Malformed_pickles_are_refused(string opcodes, string says) =>
        Assert.That(ErrorOf(Zip(Pickle(opcodes))), Does.Contain(says));

    [Test]
    public void Newer_opcodes_and_every_plain_value_are_read()
    {
        byte[] pickle =
        [
            0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, (byte)'(',
            0x8c, 1, (byte)'a', 0x94, (byte)'B', 2, 0, 0, 0, 1, 2, 0x8e, 1, 0, 0, 0, 0, 0, 0, 0, 9, (byte)'C', 1, 7,
            0x8d, 1, 0, 0, 0, 0, 0, 0, 0, (byte)'b', (byte)'h', 0,
            0x8f, (byte)'(', (byte)'K', 1, (byte)'K', 1, 0x90, (byte)'(', (byte)'K', 2, 0x91,
            (byte)'(', (byte)'N', (byte)'l', (byte)'(', (byte)'K', 3, (byte)'N', (byte)'d', (byte)']', (byte)'N', (byte)'a',
            0x8b, 2, 0, 0, 0, 0xff, 0xff, 0x8a, 0, (byte)'U', 1, (byte)'c', (byte)'M', 0xff, 0xff, (byte)'J', 0xff, 0xff, 0xff, 0xff,
            (byte)'G', 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, (byte)'(', (byte)'N', (byte)'1', (byte)'N', (byte)'0', (byte)'N', (byte)'2',
            .. Bytes("c_codecs\nencode\n(X\u0002\u0000\u0000\u0000\u00c3\u00bfX\u0006\u0000\u0000\u0000latin1tR"),
            .. Bytes("c__builtin__\nset\n](K\u0005e\u0085R"),
            .. Bytes("ccollections\nOrderedDict\n](K\u0001K\u0002\u0086](K\u0003K\u0004ee\u0085R}b"),
            .. Bytes("ctorch\nSize\n(K\u0002t\u0085R"),
            (byte)'t', (byte)'.',
        ];
        using var archive = PyTorchArchive.Open(Files.Write("plain.pt", Zip(pickle)));
        Assert.That((object?[])archive.Root!, Is.EqualTo(new object?[]
        {
            "a", new byte[] { 1, 2 }, new byte[] { 9 }, new byte[] { 7 }, "b", "a", new HashSet<object> { 1L }, new HashSet<object> { 2L },
            new List<object?> { null }, new OrderedDictionary<object, object?> { [3L] = null }, new List<object?> { null },
            -1L, 0L, "c", 65535L, -1L, 1.5, null, null, new byte[] { 255 }, new HashSet<object> { 5L },
            new OrderedDictionary<object, object?> { [1L] = 2L, [3L] = 4L }, new object[] { 2L },
        }));
    }

    [Test]
    public void Archives_that_are_not_what_torch_save_writes_are_refused()
    {
        byte[] good = Pickle(Dict(("w", Tensor("0", 4, 0, [4], [1]))));
        (string, byte[]) storage = ("any root/data/0", FourFloats);
        byte[] deflated = Zip(CompressionLevel.Optimal, good, storage, ("any root/data/1", new byte[1000]));
        using (TensorFile file = Checkpoint.Open(Files.Write("deflated.pt", deflated)))
            Assert.That(file["w"].ToSingles(), Is.EqualTo(new float[] { 1, 2, 3, 4 }));
        for (int i = 0; i < deflated.Length; i++)
        {
            byte[] damaged = [.. deflated];
            damaged[i] ^= 0xff;
            try
            {
                using TensorFile file = Checkpoint.Open(Files.Write("damaged.pt", damaged));
                Assert.That(file["w"].ToSingles(), Is.EqualTo(new float[] { 1, 2, 3, 4 }), $"byte {i}");
            }
            catch (FileFormatException)
            {
            }
        }
        Assert.That(ErrorOf(Zip(good, storage, ("any root/byteorder", "big"u8.ToArray()))), Does.Contain("big-endian"));
        Assert.That(ErrorOf(Zip(good, storage, ("any root/constants.pkl", []))), Does.Contain("TorchScript"));
        Assert.That(ErrorOf(Zip(good, storage, storage)), Does.Contain("twice"));
        byte[] renamed = Zip(good, storage);
        for (int i; (i = renamed.AsSpan().IndexOf("data.pkl"u8)) >= 0;) renamed[i] = (byte)'D';
        Assert.That(ErrorOf(renamed), Does.Contain("'data.pkl'").And.Contain("not written by torch.save"));
    }

    [Test]
    public void An_entry_that_claims_a_terabyte_is_refused()
    {
        byte[] good = ZipOf(Tensor("0", 4, 0, [4], [1]));
        int record = good.AsSpan().LastIndexOf("PK\u0001\u0002"u8), end = good.AsSpan().LastIndexOf("PK\u0005\u0006"u8);
        int name = BinaryPrimitives.ReadUInt16LittleEndian(good.AsSpan(record + 28));
        byte[] field = new byte[20];
        field[0] = 1;
        field[2] = 16;
        BinaryPrimitives.WriteInt64LittleEndian(field.AsSpan(4), 1L << 40);
        BinaryPrimitives.WriteInt64LittleEndian(field.AsSpan(12), 1L << 40);
        byte[] huge = [.. good[..(record + 46 + name)], .. field, .. good[(record + 46 + name)..]];
        huge.AsSpan(record + 20, 8).Fill(0xff);
        huge[record + 30] = (byte)field.Length;
        BinaryPrimitives.WriteInt32LittleEndian(
            huge.AsSpan(end + field.Length + 12), BinaryPrimitives.ReadInt32LittleEndian(good.AsSpan(end + 12)) + field.Length);
        Assert.That(ErrorOf(huge), Does.Contain("claims 1099511627776 bytes"));
    }

    [Test]
    public void Archives_with_64_bit_sizes_and_places_are_read()
    {
        byte[] good = ZipOf(Tensor("0", 4, 0, [4], [1]));
        int record = good.AsSpan().LastIndexOf("PK\u0001\u0002"u8), end = good.AsSpan().LastIndexOf("PK\u0005\u0006"u8);
        int name = BinaryPrimitives.ReadUInt16LittleEndian(good.AsSpan(record + 28));
        int directory = BinaryPrimitives.ReadInt32LittleEndian(good.AsSpan(end + 16));
        // An unrelated field, then length, stored length and place of the entry, which are all ones in their old places.
        byte[] field = [9, 9, 1, 0, 7, 1, 0, 24, 0, .. BitConverter.GetBytes(16L), .. BitConverter.GetBytes(16L),
            .. BitConverter.GetBytes((long)BinaryPrimitives.ReadInt32LittleEndian(good.AsSpan(record + 42)))];
        good.AsSpan(record + 20, 8).Fill(0xff);
        good.AsSpan(record + 42, 4).Fill(0xff);
        good[record + 30] = (byte)field.Length;
        byte[] front = [.. good[..(record + 46 + name)], .. field, .. good[(record + 46 + name)..end]];
        byte[] end64 =
        [
            .. "PK\u0006\u0006"u8, .. new byte[20], .. BitConverter.GetBytes(2L), .. BitConverter.GetBytes(2L),
            .. BitConverter.GetBytes((long)(front.Length - directory)), .. BitConverter.GetBytes((long)directory),
        ];
        byte[] locator = [.. "PK\u0006\u0007"u8, .. new byte[4], .. BitConverter.GetBytes((long)front.Length), .. new byte[4]];
        byte[] last = [.. "PK\u0005\u0006"u8, .. new byte[4], .. Enumerable.Repeat((byte)0xff, 12), 3, 0, .. "end"u8];
        byte[] wide = [.. front, .. end64, .. locator, .. last];

        using (TensorFile file = Checkpoint.Open(Files.Write("wide.pt", wide)))
            Assert.That(file["w"].ToSingles(), Is.EqualTo(new float[] { 1, 2, 3, 4 }));
        for (int length = front.Length; length < wide.Length; length++) ErrorOf(wide[..length]);
    }

    [Test]
    public void Messages_quote_names_as_one_readable_line()
    {
        string message = ErrorOf(ZipOf($"{Text("a\r\n\u001b[31m" + new string('x', 100_000))}{Text("b")}\u0093"));
        Assert.That(message, Has.Length.LessThan(1100));
        Assert.That(message.Any(char.IsControl), Is.False);
    }

    [TestCase("", "it is empty")]
    [TestCase("<!DOCTYPE html>", "3c21444f43545950452068746d6c3e (\"<!DOCTYPE html>\")")]
    [TestCase("\u0080\u0002}.", "80027d2e")]
    [TestCase("PK", "504b")]
    public void Files_of_no_known_format_are_shown_by_their_first_bytes(string content, string says) =>
        Assert.That(ErrorOf(Encoding.Latin1.GetBytes(content)), Does.Contain("torch.save").And.Contain("safetensors").And.Contain(says));

    [TestCase("quirks.pt")]
    [TestCase("quirks_legacy.pt")]
    [TestCase("mini_ema_old_layout.pt")]
    [TestCase("quirks.safetensors")]
    public void Files_cut_at_any_byte_are_refused(string name)
    {
        byte[] whole = File.ReadAllBytes(Files.Golden(name));
        for (int length = 0; length < whole.Length; length++) ErrorOf(whole[..length]);
    }

    [Test]
    public void A_missing_file_is_an_IO_error() => Assert.Throws<FileNotFoundException>(() => Checkpoint.Open(Files.Temporary("none.pt")));
}
