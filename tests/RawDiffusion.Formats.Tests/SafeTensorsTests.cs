using System.Text;

namespace RawDiffusion.Formats.Tests;

public sealed class SafeTensorsTests
{
    private static byte[] FileOf(string header, int dataBytes) =>
        [.. BitConverter.GetBytes((long)Encoding.UTF8.GetByteCount(header)), .. Encoding.UTF8.GetBytes(header), .. new byte[dataBytes]];

    private static string ErrorOf(byte[] content)
    {
        string path = Files.Write("x.safetensors", content);
        string message = Assert.Throws<FileFormatException>(() => SafeTensors.Open(path).Dispose())!.Message;
        Assert.That(message, Does.StartWith("x.safetensors: ").And.Not.Contain("\n"));
        return message;
    }

    private static string Entry(string name, string type, string shape, long begin, long end) =>
        $$"""  "{{name}}":{"dtype":"{{type}}","shape":[{{shape}}],"data_offsets":[{{begin}},{{end}}]}  """.Trim();

    [Test]
    public void Every_type_is_read()
    {
        string[] types = ["F64", "I64", "F32", "I32", "F16", "BF16", "I16", "I8", "U8", "BOOL"];
        int[] sizes = [8, 8, 4, 4, 2, 2, 2, 1, 1, 1];
        int end = 0;
        string header = "{" + string.Join(",", types.Select((t, i) => Entry(t, t, "2", end, end += 2 * sizes[i]))) + "}   ";
        byte[] content = FileOf(header, end);
        content.AsSpan(content.Length - end).Fill(0x3c);
        using TensorFile file = SafeTensors.Open(Files.Write("types.safetensors", content));
        Assert.That(file.Names, Is.EqualTo(types));
        Assert.That(types.Select(t => file[t].Type.Size()), Is.EqualTo(sizes));
        Assert.That(types.Select(t => file[t].ToDoubles()[1]), Is.EqualTo(new[]
        {
            BitConverter.Int64BitsToDouble(0x3c3c3c3c3c3c3c3c), 0x3c3c3c3c3c3c3c3c, BitConverter.Int32BitsToSingle(0x3c3c3c3c), 0x3c3c3c3c,
            (double)BitConverter.Int16BitsToHalf(0x3c3c), BitConverter.Int32BitsToSingle(0x3c3c0000), 0x3c3c, 0x3c, 0x3c, 1,
        }));
        Assert.That(types.Select(t => file[t].ToSingles()[0]), Is.EqualTo(types.Select(t => (float)file[t].ToDoubles()[0])));
        Assert.Throws<InvalidOperationException>(() => file["F16"].ToInt64s());
        Assert.That(file["BOOL"].ToInt64s(), Is.EqualTo(new[] { 1L, 1L }));
    }

    [Test]
    public void Metadata_is_read_and_an_empty_file_is_a_file()
    {
        using (TensorFile golden = SafeTensors.Open(Files.Golden("B.safetensors"))) Assert.That(golden.Metadata, Is.Not.Empty);
        using TensorFile empty = SafeTensors.Open(Files.Write("empty.safetensors", FileOf("{}", 0)));
        Assert.That(empty.Names, Is.Empty);
        Assert.That(empty.Metadata, Is.Empty);
    }

    [Test]
    public void Tensors_that_we_cannot_compute_with_are_passed_over()
    {
        string header = $"{{{Entry("odd", "F8_E4M3", "4", 0, 4)},{Entry("w", "F32", "1", 4, 8)}}}";
        string path = Files.Write("odd.safetensors", [.. FileOf(header, 4), 0, 0, 128, 63]);
        foreach (Func<TensorFile> open in new[] { () => SafeTensors.Open(path), () => Checkpoint.Open(path) })
        {
            using TensorFile file = open();
            Assert.That(file.Names, Is.EqualTo(new[] { "w" }));
            Assert.That(file["w"].ToSingles(), Is.EqualTo(new[] { 1f }));
            Assert.That(file.PassedOver, Is.EqualTo(new[] { "'odd' (a tensor of F8_E4M3)" }));
        }
    }

    [Test]
    public void Layouts_that_do_not_fit_are_refused()
    {
        string a = Entry("a", "F32", "1", 0, 4);
        Assert.That(ErrorOf(FileOf($"{{{a}}}", 3)), Does.Contain("truncated"));
        Assert.That(ErrorOf(FileOf($"{{{a}}}", 5)), Does.Contain("take 4 bytes, but 5"));
        Assert.That(ErrorOf(FileOf($"{{{a},{a}}}", 8)), Does.Contain("'a' occurs twice"));
        Assert.That(ErrorOf(FileOf($"{{{a},{Entry("b", "F32", "1", 2, 6)}}}", 6)), Does.Contain("'b' should begin at data byte 4"));
        Assert.That(ErrorOf(FileOf($"{{{a},{Entry("b", "F32", "1", 8, 12)}}}", 12)), Does.Contain("'b' should begin at data byte 4"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F32", "2", 0, 4)}}}", 4)), Does.Contain("takes 8 bytes").And.Contain("0 to 4"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F32", "1", 4, 0)}}}", 4)), Does.Contain("4 to 0"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F8_E4M3", "4", 4, 0)}}}", 4)), Does.Contain("4 to 0"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F8_E4M3", "4", 0, 4)}}}", 5)), Does.Contain("take 4 bytes, but 5"));
        Assert.That(ErrorOf(FileOf($"{{{Entry(new string('n', 1001), "F32", "1", 0, 4)}}}", 4)),
            Does.Contain("1001 characters; at most 1000"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F32", "4294967296, 4294967296", 0, 4)}}}", 4)), Does.Contain("at most 2 GiB"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F32", "65536, 65536, 65536, 65536", 0, 0)}}}", 0)), Does.Contain("at most 2 GiB"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F32", "-1", 0, 4)}}}", 4)), Does.Contain("natural number"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F32", "1.5", 0, 4)}}}", 4)), Does.Contain("natural number"));
        Assert.That(ErrorOf(FileOf($"{{{Entry("a", "F32", string.Join(",", Enumerable.Repeat(1, 17)), 0, 4)}}}", 4)),
            Does.Contain("17 dimensions"));
    }

    [TestCase("[]", "not a JSON object")]
    [TestCase("{\"a\":1}", "'a' is not a JSON object")]
    [TestCase("{\"a\":{}}", "needs dtype, shape")]
    [TestCase("{\"a\":{\"dtype\":1}}", "dtype of 'a' is not a string")]
    [TestCase("{\"a\":{\"shape\":{}}}", "shape of 'a' is not an array")]
    [TestCase("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]}}", "two data_offsets")]
    [TestCase("{\"__metadata__\":{\"a\":1}}", "not a string")]
    [TestCase("{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}", "twice")]
    [TestCase("{\"a\":", "not the JSON")]
    [TestCase("{}}", "not the JSON")]
    [TestCase("{} {}", "not the JSON")]
    [TestCase("", "not the JSON")]
    [TestCase("{\"\\ud800\":{}}", "not the JSON")]
    public void Headers_that_are_not_as_expected_are_refused(string header, string says) =>
        Assert.That(ErrorOf(FileOf(header, 0)), Does.Contain(says));

    [Test]
    public void Header_lengths_are_checked_before_anything_is_read()
    {
        Assert.That(ErrorOf([1, 2, 3]), Does.Contain("3 bytes are too few"));
        Assert.That(ErrorOf(Enumerable.Repeat((byte)0xff, 100).ToArray()), Does.Contain("18446744073709551615"));
        Assert.That(ErrorOf([200, 0, 0, 0, 0, 0, 0, 0, .. "{}"u8]), Does.Contain("200 bytes"));
        Assert.That(ErrorOf([0xff, 0xff, 0xff, 0x05, 0, 0, 0, 0, .. "{}"u8]), Does.Contain("100663295"));
    }

    [TestCase("name", "U8", "0")]
    [TestCase("name", "U8", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0")]
    [TestCase("name", "F8_E5M2", "4")]
    [TestCase("metadata", "", "")]
    public void Opening_takes_the_memory_that_is_documented(string name, string type, string shape)
    {
        const int count = 40_000;
        string header = name == "metadata"
            ? $$"""
                {"__metadata__":{ {{string.Join(",", Enumerable.Range(0, count).Select(i => $"\"{i}\":\"a\""))}} } }
                """
            : $"{{{string.Join(",", Enumerable.Range(0, count).Select(i => Entry($"{name}{i}", type, shape, 0, 0)))}}}";
        string path = Files.Write("many.safetensors", FileOf(header, 0));
        SafeTensors.Open(path).Dispose();
        long before = GC.GetAllocatedBytesForCurrentThread();
        SafeTensors.Open(path).Dispose();
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan((1 << 20) + 16L * header.Length));
    }

    [Test]
    public void Deep_JSON_is_no_danger() =>
        Assert.That(ErrorOf(FileOf("{\"a\":{\"x\":" + new string('[', 100_000), 0)), Does.Contain("not the JSON"));
}
