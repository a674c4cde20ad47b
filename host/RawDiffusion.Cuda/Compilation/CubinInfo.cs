using System.Buffers.Binary;
using System.Text;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>What one kernel of a machine-code file needs of a multiprocessor.</summary>
public sealed record KernelResources
{
    /// <summary>The kernel.</summary>
    public required string Name { get; init; }

    /// <summary>Registers of a thread.</summary>
    public required int Registers { get; init; }

    /// <summary>
    /// Bytes of local memory in a thread's stack frame: spilled registers and arrays that are indexed by variables. Zero is
    /// what a fast kernel has.
    /// </summary>
    public required int FrameBytes { get; init; }

    /// <summary>Static shared memory of a block in bytes, without what the system reserves.</summary>
    public required int StaticSharedBytes { get; init; }

    /// <summary>Hardware barriers that a block occupies: 1 with __syncthreads alone, else the highest number used and 1.</summary>
    public required int Barriers { get; init; }

    /// <summary>Size of all parameters.</summary>
    public required int ParameterBytes { get; init; }

    /// <summary>Size of the instructions, 16 bytes each.</summary>
    public required int CodeBytes { get; init; }

    /// <summary>How often each operation stands in the code (not how often it is executed), by SASS mnemonic: HMMA, FFMA.</summary>
    public required IReadOnlyDictionary<string, int> Operations { get; init; }

    /// <summary>How often an operation stands in the code.</summary>
    public int Count(string mnemonic) => Operations.GetValueOrDefault(mnemonic);

    /// <summary>Whether registers were spilled to local memory, or arrays live there: both cost memory traffic.</summary>
    public bool UsesLocalMemory => FrameBytes > 0 || Count("STL") > 0 || Count("LDL") > 0;
}

/// <summary>
/// Reads the ELF file that NVRTC makes for <c>sm_</c> targets: resources and a census of instructions, without a GPU and
/// without NVIDIA's tools. The file is not trusted.
/// </summary>
/// <remarks>
/// NVIDIA publishes neither the sections nor the encoding; what is read here was found by comparing files of NVRTC 11.8 for
/// sm_80, 86, 89 and 90 with what cuobjdump, nvdisasm and ptxas -v say about them. <c>.nv.info</c> holds attributes: a byte of
/// form, a byte of kind, two bytes of value or length. Each kernel has a section <c>.text.NAME</c>, whose flags hold the
/// number of barriers from bit 20 on, and may have <c>.nv.shared.NAME</c>.
/// </remarks>
public sealed class CubinInfo
{
    private const int HeaderBytes = 64, SectionBytes = 64, SymbolBytes = 24;
    private const ushort CudaMachine = 190;
    private const uint SymbolTable = 2, NoBits = 8;
    private const int EntryPoint = 0x10; // in a symbol's st_other
    private const byte ValueInPlace = 3, ValueFollows = 4;
    private const byte RegisterCount = 0x2f, FrameSize = 0x11, ParameterSize = 0x19;
    private const int BarrierShift = 20, BarrierMask = 0x7f;

    private readonly Section[] sections;

    /// <summary>Reads a file.</summary>
    /// <param name="image">What <see cref="IKernelCompiler.Compile"/> gives for a target <c>sm_</c>.</param>
    /// <exception cref="InvalidDataException">It is no such file, or is damaged.</exception>
    public CubinInfo(ReadOnlySpan<byte> image)
    {
        if (image.Length < HeaderBytes || !image.StartsWith("\u007fELF\u0002\u0001"u8))
            throw Damaged("expected a 64-bit little-endian ELF file");
        if (U16(image, 18) != CudaMachine)
            throw Damaged($"expected an ELF file for NVIDIA GPUs (machine {CudaMachine}), found machine {U16(image, 18)}");
        // The second version of the format moved the architecture up by a byte.
        uint flags = U32(image, 48);
        ComputeCapability = (int)(image[8] < 8 ? flags & 0xff : (flags >> 8) & 0xff);
        sections = ReadSections(image);
        Kernels = ReadKernels(image);
    }

    /// <summary>What the code was compiled for: 80 for sm_80.</summary>
    public int ComputeCapability { get; }

    /// <summary>The kernels of the file.</summary>
    public IReadOnlyList<KernelResources> Kernels { get; }

    /// <summary>A kernel by name.</summary>
    /// <exception cref="ArgumentException">The file has no such kernel.</exception>
    public KernelResources this[string name] => Kernels.FirstOrDefault(k => k.Name == name)
        ?? throw new ArgumentException($"expected the kernel {name}, the file has {string.Join(", ", Kernels.Select(k => k.Name))}");

    private static InvalidDataException Damaged(string what) =>
        new($"this is no compiled kernel: {what}; delete the cache of compiled kernels if it came from there");

    // All reads of the file go through Part, so that no offset in it can lead outside.
    private static ReadOnlySpan<byte> Part(ReadOnlySpan<byte> image, ulong offset, ulong bytes) =>
        offset <= (ulong)image.Length && bytes <= (ulong)image.Length - offset ? image.Slice((int)offset, (int)bytes)
            : throw Damaged($"{bytes} bytes at {offset} are outside its {image.Length} bytes");

    private static ushort U16(ReadOnlySpan<byte> image, ulong offset) => BinaryPrimitives.ReadUInt16LittleEndian(Part(image, offset, 2));

    private static uint U32(ReadOnlySpan<byte> image, ulong offset) => BinaryPrimitives.ReadUInt32LittleEndian(Part(image, offset, 4));

    private static ulong U64(ReadOnlySpan<byte> image, ulong offset) => BinaryPrimitives.ReadUInt64LittleEndian(Part(image, offset, 8));

    private static string Text(ReadOnlySpan<byte> strings, uint offset)
    {
        ReadOnlySpan<byte> rest = offset < strings.Length ? strings[(int)offset..] : throw Damaged("a name is outside its table");
        int end = rest.IndexOf((byte)0);
        return end >= 0 ? Encoding.UTF8.GetString(rest[..end]) : throw Damaged("a name does not end");
    }

    private static Section[] ReadSections(ReadOnlySpan<byte> image)
    {
        ulong table = U64(image, 40);
        int count = U16(image, 60), names = U16(image, 62);
        if (U16(image, 58) != SectionBytes || names >= count) throw Damaged("its section table has another form");
        ReadOnlySpan<byte> headers = Part(image, table, (ulong)count * SectionBytes);
        var sections = new Section[count];
        for (int i = 0; i < count; i++)
        {
            ulong at = (ulong)i * SectionBytes;
            sections[i] = new(U32(headers, at), U32(headers, at + 4), U64(headers, at + 8), U64(headers, at + 24), U64(headers, at + 32),
                U32(headers, at + 40));
        }
        ReadOnlySpan<byte> strings = Content(image, sections[names]);
        for (int i = 0; i < count; i++) sections[i].Name = Text(strings, sections[i].NameOffset);
        return sections;
    }

    private static ReadOnlySpan<byte> Content(ReadOnlySpan<byte> image, Section section) =>
        section.Type == NoBits ? [] : Part(image, section.Offset, section.Bytes);

    private List<KernelResources> ReadKernels(ReadOnlySpan<byte> image)
    {
        Section symbols = sections.FirstOrDefault(s => s.Type == SymbolTable) ?? throw Damaged("it has no symbol table");
        if (symbols.Link >= sections.Length) throw Damaged("its symbols have no names");
        ReadOnlySpan<byte> table = Content(image, symbols), strings = Content(image, sections[symbols.Link]);
        Dictionary<uint, uint> registers = Attributes(image, RegisterCount), frames = Attributes(image, FrameSize);
        Dictionary<string, Section> named = [];
        foreach (Section section in sections) named.TryAdd(section.Name, section);

        List<KernelResources> kernels = [];
        HashSet<Section> counted = [];
        ulong codeBytes = 0;
        for (uint i = 0; i < table.Length / SymbolBytes; i++)
        {
            ulong at = (ulong)i * SymbolBytes;
            if ((table[(int)at + 5] & EntryPoint) == 0) continue;
            string name = Text(strings, U32(table, at));
            if (!named.TryGetValue($".text.{name}", out Section? code)) throw Damaged($"its kernel {name} has no code");
            codeBytes += code.Bytes;
            // Overlapping sections would make a small file take very long.
            if (!counted.Add(code) || codeBytes > (ulong)image.Length) throw Damaged($"the code of its kernel {name} is also another's");
            if (!registers.TryGetValue(i, out uint registerCount)) throw Damaged($"it states no number of registers for its kernel {name}");
            kernels.Add(new()
            {
                Name = name,
                Registers = Int(registerCount),
                FrameBytes = Int(frames.GetValueOrDefault(i)),
                StaticSharedBytes = named.TryGetValue($".nv.shared.{name}", out Section? shared) ? SharedBytes(shared) : 0,
                Barriers = (int)(code.Flags >> BarrierShift) & BarrierMask,
                ParameterBytes = named.TryGetValue($".nv.info.{name}", out Section? info) ? Parameters(Content(image, info)) : 0,
                CodeBytes = Int(code.Bytes),
                Operations = Sass.Census(Content(image, code)),
            });
        }
        return kernels;
    }

    // From 9.0 on the system's part lies in front of the kernel's own and is counted in.
    private int SharedBytes(Section shared) =>
        Int(shared.Bytes) - (ComputeCapability >= 90 && shared.Bytes >= MultiprocessorLimits.ReservedSharedBytes
        ? MultiprocessorLimits.ReservedSharedBytes : 0);

    private static int Int(ulong value) => value <= int.MaxValue ? (int)value
        : throw Damaged($"it states {value} of something that is never so large");

    // Pairs (symbol, value) of one kind in the file's own attributes.
    private Dictionary<uint, uint> Attributes(ReadOnlySpan<byte> image, byte kind)
    {
        Dictionary<uint, uint> values = [];
        foreach (Section section in sections)
        {
            if (section.Name != ".nv.info") continue;
            ReadOnlySpan<byte> info = Content(image, section);
            while (!info.IsEmpty)
            {
                ReadOnlySpan<byte> value = NextAttribute(ref info, out byte found);
                if (found == kind) values[U32(value, 0)] = U32(value, 4);
            }
        }
        return values;
    }

    private static int Parameters(ReadOnlySpan<byte> info)
    {
        while (!info.IsEmpty)
        {
            ReadOnlySpan<byte> value = NextAttribute(ref info, out byte kind);
            if (kind == ParameterSize) return U16(value, 0);
        }
        return 0;
    }

    private static ReadOnlySpan<byte> NextAttribute(ref ReadOnlySpan<byte> info, out byte kind)
    {
        byte form = Part(info, 0, 4)[0];
        kind = info[1];
        ReadOnlySpan<byte> value = form == ValueFollows ? Part(info, 4, U16(info, 2)) : form == ValueInPlace ? info.Slice(2, 2) : [];
        info = info[(4 + (form == ValueFollows ? value.Length : 0))..];
        return value;
    }

    private sealed class Section(uint nameOffset, uint type, ulong flags, ulong offset, ulong bytes, uint link)
    {
        public uint NameOffset => nameOffset;
        public uint Type => type;
        public ulong Flags => flags;
        public ulong Offset => offset;
        public ulong Bytes => bytes;
        public uint Link => link;
        public string Name { get; set; } = "";
    }
}
