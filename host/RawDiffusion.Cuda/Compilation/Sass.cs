using System.Buffers.Binary;
using System.Globalization;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// Recognises machine instructions of compute capability 8.0 to 9.0, which are 16 bytes long; the lowest 9 bits are the
/// operation, the next 3 the form of the operands.
/// </summary>
internal static class Sass
{
    private const int InstructionBytes = 16, OperationMask = 0x1ff;

    // As nvdisasm prints the instructions of test kernels for sm_80, 86, 89 and 90, and of our own for sm_80.
    private static readonly Dictionary<int, string> Mnemonics = new (int Operation, string Mnemonic)[]
    {
        (0x002, "MOV"), (0x003, "P2R"), (0x005, "CS2R"), (0x006, "VOTE"), (0x007, "SEL"), (0x008, "FSEL"),
        (0x009, "FMNMX"), (0x00b, "FSETP"), (0x00c, "ISETP"), (0x010, "IADD3"), (0x011, "LEA"), (0x012, "LOP3"),
        (0x013, "IABS"), (0x014, "VABSDIFF"), (0x016, "PRMT"), (0x017, "IMNMX"), (0x019, "SHF"), (0x01c, "PLOP3"),
        (0x020, "FMUL"), (0x021, "FADD"), (0x023, "FFMA"), (0x024, "IMAD"), (0x025, "IMAD"), (0x027, "IMAD"),
        (0x028, "DMUL"), (0x029, "DADD"), (0x02a, "DSETP"), (0x02b, "DFMA"), (0x030, "HADD2"), (0x031, "HFMA2"),
        (0x032, "HMUL2"), (0x035, "HFMA2"), (0x037, "IMMA"), (0x03b, "LDSM"), (0x03c, "HMMA"), (0x03e, "F2FP"),
        (0x040, "HMNMX2"), (0x045, "I2FP"), (0x082, "UMOV"), (0x086, "VOTEU"), (0x087, "USEL"), (0x08c, "UISETP"),
        (0x090, "UIADD3"), (0x091, "ULEA"), (0x092, "ULOP3"), (0x096, "UPRMT"), (0x099, "USHF"), (0x0a4, "UIMAD"),
        (0x0a5, "UIMAD"), (0x0b9, "ULDC"), (0x0bd, "UFLO"), (0x100, "FLO"), (0x101, "BREV"), (0x102, "FCHK"),
        (0x104, "F2F"), (0x105, "F2I"), (0x106, "I2F"), (0x107, "FRND"), (0x108, "MUFU"), (0x109, "POPC"), (0x110, "F2F"),
        (0x111, "F2I"), (0x112, "I2F"), (0x118, "NOP"), (0x119, "S2R"), (0x11a, "DEPBAR"), (0x11c, "B2R"), (0x11d, "BAR"),
        (0x141, "BSYNC"), (0x142, "BREAK"), (0x144, "CALL"), (0x145, "BSSY"), (0x147, "BRA"), (0x148, "WARPSYNC"),
        (0x149, "BRX"), (0x14d, "EXIT"), (0x150, "RET"), (0x155, "BMOV"), (0x156, "BMOV"), (0x15c, "BPT"),
        (0x15d, "NANOSLEEP"), (0x180, "LD"), (0x181, "LDG"), (0x182, "LDC"), (0x183, "LDL"), (0x184, "LDS"), (0x185, "ST"),
        (0x186, "STG"), (0x187, "STL"), (0x188, "STS"), (0x189, "SHFL"), (0x18a, "ATOM"), (0x18c, "ATOMS"),
        (0x18d, "ATOMS"), (0x18e, "RED"), (0x18f, "CCTL"), (0x192, "MEMBAR"), (0x1a1, "MATCH"), (0x1a6, "REDG"),
        (0x1a8, "ATOMG"), (0x1a9, "ATOMG"), (0x1ab, "ERRBAR"), (0x1ae, "LDGSTS"), (0x1af, "LDGDEPBAR"), (0x1c2, "R2UR"),
        (0x1c3, "S2UR"), (0x1c4, "REDUX"),
    }.ToDictionary(m => m.Operation, m => m.Mnemonic);

    /// <summary>
    /// How often each operation stands in the code; one that the table lacks appears as its number, <c>0x1c2</c>.
    /// </summary>
    public static IReadOnlyDictionary<string, int> Census(ReadOnlySpan<byte> code)
    {
        Span<int> counts = stackalloc int[OperationMask + 1];
        for (int at = 0; at + InstructionBytes <= code.Length; at += InstructionBytes)
            counts[BinaryPrimitives.ReadUInt16LittleEndian(code[at..]) & OperationMask]++;
        SortedDictionary<string, int> census = new(StringComparer.Ordinal);
        for (int operation = 0; operation < counts.Length; operation++)
        {
            if (counts[operation] == 0) continue;
            string name = Mnemonics.GetValueOrDefault(operation) ?? string.Create(CultureInfo.InvariantCulture, $"0x{operation:x3}");
            census[name] = census.GetValueOrDefault(name) + counts[operation];
        }
        return census;
    }
}
