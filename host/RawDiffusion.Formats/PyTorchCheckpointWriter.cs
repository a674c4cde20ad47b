using System.Text;
using RawDiffusion.Formats.PyTorch;

namespace RawDiffusion.Formats;

public static partial class PyTorchCheckpoint
{
    /// <summary>
    /// Writes a state dict (an OrderedDict of tensors) as a zip file that torch.load accepts, also with weights_only. Metadata is the
    /// OrderedDict's attribute <c>__metadata__</c>, a dict of text, which load_state_dict does not look at. The file appears whole or not
    /// at all; it may replace the one that the tensors are read from.
    /// </summary>
    /// <param name="path">The file to make or replace.</param>
    /// <param name="tensors">Names and tensors; each is read once, when its turn comes.</param>
    /// <param name="metadata">Free text to carry, or null.</param>
    /// <exception cref="ArgumentException">A name occurs twice, or the tensors pass what a zip archive holds (4 GiB, 65000
    /// tensors).</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(
        string path, IEnumerable<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        KeyValuePair<string, Tensor>[] all = [.. tensors];
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach ((string name, _) in all)
        {
            if (!names.Add(name)) throw new ArgumentException($"the tensor name '{name}' occurs twice");
        }
        byte[] pickle = Pickle(all, metadata ?? new Dictionary<string, string>());
        // Headers and alignment take less than 256 bytes for each tensor.
        long total = pickle.Length + all.Sum(t => t.Value.ByteCount + 256L);
        if (all.Length > 65_000 || total > uint.MaxValue - 65536L)
        {
            throw new ArgumentException(
                $"{all.Length} tensors of {total} bytes do not fit a .pt file as it is written here; write .safetensors instead");
        }

        AtomicFile.Write(path, stream =>
        {
            var zip = new ZipWriter(stream);
            zip.Add("archive/data.pkl", pickle);
            zip.Add("archive/byteorder", "little"u8);
            for (int i = 0; i < all.Length; i++) zip.Add($"archive/data/{i}", all[i].Value.ToBytes());
            zip.Add("archive/version", "3\n"u8);
            zip.Finish();
        });
    }

    /// <summary>What torch.save writes for an OrderedDict of contiguous tensors, without the memo that only saves space.</summary>
    private static byte[] Pickle(KeyValuePair<string, Tensor>[] tensors, IReadOnlyDictionary<string, string> metadata)
    {
        using var buffer = new MemoryStream();
        using var pickle = new BinaryWriter(buffer);
        pickle.Write([0x80, 2]);
        EmptyOrderedDict();
        pickle.Write((byte)'(');
        for (int i = 0; i < tensors.Length; i++)
        {
            (string name, Tensor tensor) = tensors[i];
            Text(name);
            Global("torch._utils", "_rebuild_tensor_v2");
            pickle.Write("(("u8);
            Text("storage");
            Global("torch", StorageName(tensor.Type));
            Text(i.ToString(System.Globalization.CultureInfo.InvariantCulture));
            Text("cpu");
            Integer(tensor.Count);
            pickle.Write("tQ"u8);
            Integer(0);
            IntegerTuple(tensor.Shape);
            IntegerTuple(Strides(tensor.Shape));
            pickle.Write((byte)0x89);
            EmptyOrderedDict();
            pickle.Write("tR"u8);
        }
        pickle.Write((byte)'u');
        if (metadata.Count > 0)
        {
            pickle.Write("}"u8);
            Text(StateDict.MetadataKey);
            pickle.Write("}("u8);
            foreach ((string key, string value) in metadata)
            {
                Text(key);
                Text(value);
            }
            pickle.Write("usb"u8);
        }
        pickle.Write((byte)'.');
        return buffer.ToArray();

        void EmptyOrderedDict()
        {
            Global("collections", "OrderedDict");
            pickle.Write(")R"u8);
        }

        void Global(string module, string name) => pickle.Write(Encoding.ASCII.GetBytes($"c{module}\n{name}\n"));

        void Text(string text)
        {
            byte[] utf8 = Encoding.UTF8.GetBytes(text);
            pickle.Write((byte)'X');
            pickle.Write(utf8.Length);
            pickle.Write(utf8);
        }

        void Integer(int value)
        {
            pickle.Write((byte)'J');
            pickle.Write(value);
        }

        void IntegerTuple(IEnumerable<int> values)
        {
            pickle.Write((byte)'(');
            foreach (int value in values) Integer(value);
            pickle.Write((byte)'t');
        }
    }

    private static int[] Strides(IReadOnlyList<int> shape)
    {
        int[] strides = new int[shape.Count];
        int stride = 1;
        for (int i = shape.Count - 1; i >= 0; i--)
        {
            strides[i] = stride;
            // As PyTorch has it: a dimension of 0 counts as 1.
            stride *= Math.Max(1, shape[i]);
        }
        return strides;
    }

    private static string StorageName(TensorType type) => type switch
    {
        TensorType.Bool => "BoolStorage",
        TensorType.UInt8 => "ByteStorage",
        TensorType.Int8 => "CharStorage",
        TensorType.Int16 => "ShortStorage",
        TensorType.Int32 => "IntStorage",
        TensorType.Int64 => "LongStorage",
        TensorType.Float16 => "HalfStorage",
        TensorType.BFloat16 => "BFloat16Storage",
        TensorType.Float32 => "FloatStorage",
        TensorType.Float64 => "DoubleStorage",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "unknown tensor type"),
    };
}
