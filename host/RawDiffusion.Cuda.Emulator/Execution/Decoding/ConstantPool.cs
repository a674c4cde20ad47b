namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>
/// Values that every warp reads and none writes, at negative offsets; and, above the registers, the special registers that
/// differ by thread.
/// </summary>
internal sealed class ConstantPool(int registerBytes)
{
    private readonly Dictionary<(long Value, int Width), int> known = [];
    private readonly Dictionary<LaunchSpecial, int> launch = [];
    private readonly Dictionary<ThreadSpecial, int> thread = [];
    private readonly Dictionary<(int From, int Bytes, bool Signed, int Width), int> parameters = [];
    private int sink;

    public int RegisterBytes { get; private set; } = registerBytes;

    public int Bytes { get; private set; }

    public List<(int Offset, long Value, int Width)> Constants { get; } = [];

    public List<(int Offset, int From, int Bytes, bool Signed, int Width)> Parameters { get; } = [];

    public List<(int Offset, LaunchSpecial Special)> LaunchSpecials { get; } = [];

    public List<(int Offset, ThreadSpecial Special)> ThreadSpecials { get; } = [];

    /// <summary>Where a result that nobody wants goes.</summary>
    public int Sink4 => Sink8;

    public int Sink8
    {
        get
        {
            if (sink == 0)
            {
                sink = RegisterBytes;
                RegisterBytes += 256;
            }

            return sink;
        }
    }

    /// <summary>A constant of 8 or 4 bytes per lane, or, with width 1, a predicate.</summary>
    public int Value(long value, int width)
    {
        value = width == 8 ? value : (int)value;
        if (!known.TryGetValue((value, width), out int offset))
        {
            offset = Grow(width);
            known.Add((value, width), offset);
            Constants.Add((offset, value, width));
        }

        return offset;
    }

    public int Parameter(int from, int bytes, bool signed, int width)
    {
        if (!parameters.TryGetValue((from, bytes, signed, width), out int offset))
        {
            offset = Grow(width);
            parameters.Add((from, bytes, signed, width), offset);
            Parameters.Add((offset, from, bytes, signed, width));
        }

        return offset;
    }

    /// <summary>Offset of a special register, or null where it is not known.</summary>
    public int? Special(string name) => name switch
    {
        "%tid.x" => Thread(ThreadSpecial.X),
        "%tid.y" => Thread(ThreadSpecial.Y),
        "%tid.z" => Thread(ThreadSpecial.Z),
        "%laneid" => Thread(ThreadSpecial.Lane),
        "%warpid" => Thread(ThreadSpecial.Warp),
        "%lanemask_eq" => Thread(ThreadSpecial.MaskEqual),
        "%lanemask_lt" => Thread(ThreadSpecial.MaskLess),
        "%lanemask_le" => Thread(ThreadSpecial.MaskLessEqual),
        "%lanemask_gt" => Thread(ThreadSpecial.MaskGreater),
        "%lanemask_ge" => Thread(ThreadSpecial.MaskGreaterEqual),
        "%ctaid.x" => Launch(LaunchSpecial.BlockX),
        "%ctaid.y" => Launch(LaunchSpecial.BlockY),
        "%ctaid.z" => Launch(LaunchSpecial.BlockZ),
        "%nctaid.x" => Launch(LaunchSpecial.GridX),
        "%nctaid.y" => Launch(LaunchSpecial.GridY),
        "%nctaid.z" => Launch(LaunchSpecial.GridZ),
        "%ntid.x" => Launch(LaunchSpecial.ThreadsX),
        "%ntid.y" => Launch(LaunchSpecial.ThreadsY),
        "%ntid.z" => Launch(LaunchSpecial.ThreadsZ),
        "%dynamic_smem_size" => Launch(LaunchSpecial.DynamicSharedBytes),
        "%total_smem_size" => Launch(LaunchSpecial.TotalSharedBytes),
        "%nsmid" => Launch(LaunchSpecial.MultiprocessorCount),
        _ => null,
    };

    private int Thread(ThreadSpecial special)
    {
        if (!thread.TryGetValue(special, out int offset))
        {
            offset = RegisterBytes;
            RegisterBytes += 128;
            thread.Add(special, offset);
            ThreadSpecials.Add((offset, special));
        }

        return offset;
    }

    private int Launch(LaunchSpecial special)
    {
        if (!launch.TryGetValue(special, out int offset))
        {
            offset = Grow(4);
            launch.Add(special, offset);
            LaunchSpecials.Add((offset, special));
        }

        return offset;
    }

    // Predicates take a whole line too: there are few.
    private int Grow(int width)
    {
        Bytes += width == 8 ? 256 : width == 4 ? 128 : 64;
        return -Bytes;
    }
}
