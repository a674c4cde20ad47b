using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Ptx;

/// <summary>Where a variable or an access lives.</summary>
internal enum StateSpace
{
    Generic,
    Global,
    Constant,
    Shared,
    Local,
    Parameter,
}

/// <summary>How the bits of a register or of memory are read.</summary>
internal enum PtxKind
{
    Bits,
    Unsigned,
    Signed,
    Float,
    BFloat,
    TensorFloat,
    Predicate,
}

/// <summary>A PTX type; <paramref name="Lanes"/> is 2 for f16x2 and bf16x2.</summary>
internal readonly record struct PtxType(PtxKind Kind, int Bits, int Lanes = 1)
{
    public int Bytes => Bits / 8;

    public bool IsSigned => Kind == PtxKind.Signed;

    public static bool TryParse(string text, out PtxType type)
    {
        type = text switch
        {
            "b8" => new(PtxKind.Bits, 8),
            "b16" => new(PtxKind.Bits, 16),
            "b32" => new(PtxKind.Bits, 32),
            "b64" => new(PtxKind.Bits, 64),
            "u8" => new(PtxKind.Unsigned, 8),
            "u16" => new(PtxKind.Unsigned, 16),
            "u32" => new(PtxKind.Unsigned, 32),
            "u64" => new(PtxKind.Unsigned, 64),
            "s8" => new(PtxKind.Signed, 8),
            "s16" => new(PtxKind.Signed, 16),
            "s32" => new(PtxKind.Signed, 32),
            "s64" => new(PtxKind.Signed, 64),
            "f16" => new(PtxKind.Float, 16),
            "f16x2" => new(PtxKind.Float, 32, 2),
            "f32" => new(PtxKind.Float, 32),
            "f64" => new(PtxKind.Float, 64),
            "bf16" => new(PtxKind.BFloat, 16),
            "bf16x2" => new(PtxKind.BFloat, 32, 2),
            "tf32" => new(PtxKind.TensorFloat, 32),
            "pred" => new(PtxKind.Predicate, 1),
            _ => default,
        };
        return type.Bits != 0;
    }
}

/// <summary>A module's, function's or call's variable.</summary>
internal sealed record PtxVariable(string Name, StateSpace Space, int Alignment, long Bytes)
{
    /// <summary>Bytes come from the launch (extern .shared).</summary>
    public bool External { get; init; }

    /// <summary>Content when the module is loaded; absent bytes are zero.</summary>
    public byte[] Initial { get; init; } = [];

    /// <summary>Addresses of other variables in <see cref="Initial"/>.</summary>
    public IReadOnlyList<(int Offset, string Symbol, long Addend)> Relocations { get; init; } = [];

}

internal enum OperandKind
{
    Register,
    Integer,
    Single,
    Double,
    Symbol,
    Address,
    Vector,
    Label,
    Sink,
}

/// <summary>One operand. Which members mean something depends on <paramref name="Kind"/>.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Name">Register, symbol, label; the base of an address.</param>
/// <param name="Value">Integer, the bits of a floating-point number, or the offset of an address.</param>
internal sealed record PtxOperand(OperandKind Kind, string Name = "", long Value = 0)
{
    /// <summary>A predicate operand written as <c>!%p</c>.</summary>
    public bool Negated { get; init; }

    /// <summary>The second half of <c>%r|%p</c>.</summary>
    public PtxOperand? Pair { get; init; }

    public IReadOnlyList<PtxOperand> Elements { get; init; } = [];
}

/// <summary>One instruction as written.</summary>
internal sealed record PtxInstruction(
    string? Guard, bool GuardNegated, string Opcode, IReadOnlyList<string> Modifiers, IReadOnlyList<PtxOperand> Operands,
        SourceLocation Location, int PtxLine)
{
    public override string ToString() => Modifiers.Count == 0 ? Opcode : $"{Opcode}.{string.Join('.', Modifiers)}";
}

/// <summary>An entry (kernel) or a device function.</summary>
internal sealed class PtxFunction
{
    public required string Name { get; init; }

    public required bool IsEntry { get; init; }

    public List<PtxVariable> Parameters { get; } = [];

    public List<PtxVariable> Returns { get; } = [];

    /// <summary>Shared, local and call-parameter variables of the body.</summary>
    public List<PtxVariable> Variables { get; } = [];

    /// <summary>Types of the registers that the body uses, by unique name.</summary>
    public Dictionary<string, PtxType> Registers { get; } = [];

    public List<PtxInstruction> Instructions { get; } = [];

    /// <summary>Index of the instruction that a label stands before.</summary>
    public Dictionary<string, int> Labels { get; } = [];

    /// <summary>.maxntid or .reqntid; zero where absent.</summary>
    public int MaxThreads { get; set; }

    /// <summary>.reqntid.</summary>
    public (int X, int Y, int Z)? RequiredThreads { get; set; }
}

/// <summary>A module as parsed.</summary>
internal sealed class PtxModule
{
    public string Version { get; set; } = "";

    public string Target { get; set; } = "";

    public Dictionary<string, PtxFunction> Functions { get; } = [];

    public List<PtxVariable> Variables { get; } = [];
}
