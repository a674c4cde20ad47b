using System.IO.Compression;
using System.Text;

namespace RawDiffusion.Formats.Tests;

/// <summary>Makes pickles opcode by opcode, and the files around them, honest and otherwise.</summary>
internal static class PickleBuilder
{
    /// <summary>A whole pickle around opcodes written as Latin-1 text.</summary>
    public static byte[] Pickle(params string[] opcodes) => Bytes("\u0080\u0002" + string.Concat(opcodes) + ".");

    public static byte[] Bytes(string latin1) => Encoding.Latin1.GetBytes(latin1);

    public static string Text(string text)
    {
        string utf8 = Encoding.Latin1.GetString(Encoding.UTF8.GetBytes(text));
        return "X" + Encoding.Latin1.GetString(BitConverter.GetBytes(utf8.Length)) + utf8;
    }

    public static string Bytes4(int value) => Encoding.Latin1.GetString(BitConverter.GetBytes(value));

    public static string Integer(long value) => "\u008a\u0008" + Encoding.Latin1.GetString(BitConverter.GetBytes(value));

    public static string Tuple(params string[] items) => "(" + string.Concat(items) + "t";

    public static string Dict(params (string Key, string Value)[] items) =>
        "}(" + string.Concat(items.Select(i => Text(i.Key) + i.Value)) + "u";

    public static string Tensor(string key, long storage, long offset, long[] shape, long[] strides, string type = "FloatStorage") =>
        "ctorch._utils\n_rebuild_tensor_v2\n" + Tuple(
            Tuple(Text("storage"), $"ctorch\n{type}\n", Text(key), Text("cpu"), Integer(storage)) + "Q",
            Integer(offset),
            Tuple([.. shape.Select(Integer)]),
            Tuple([.. strides.Select(Integer)]),
            "\u0089",
            "ccollections\nOrderedDict\n)R") + "R";

    /// <summary>A zip file as torch.save makes it, with a pickle and storages.</summary>
    public static byte[] Zip(byte[] pickle, params (string Name, byte[] Content)[] entries) =>
        Zip(CompressionLevel.NoCompression, pickle, entries);

    public static byte[] Zip(CompressionLevel level, byte[] pickle, params (string Name, byte[] Content)[] entries)
    {
        using var stream = new MemoryStream();
        using (var zip = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach ((string name, byte[] content) in entries.Prepend(("any root/data.pkl", pickle)))
            {
                using Stream entry = zip.CreateEntry(name, level).Open();
                entry.Write(content);
            }
        }
        return stream.ToArray();
    }

    /// <summary>A file of the format before PyTorch 1.6: five pickles, then storages.</summary>
    public static byte[] Legacy(byte[] pickle, byte[] keys, params byte[] storages) =>
    [
        .. Bytes("\u0080\u0002\u008a\u000a\u006c\u00fc\u009c\u0046\u00f9\u0020\u006a\u00a8\u0050\u0019."),
        .. Pickle("M\u00e9\u0003"), .. Pickle(Dict(("little_endian", "\u0088"))), .. pickle, .. keys, .. storages,
    ];
}
