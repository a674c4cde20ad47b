using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>
/// Turns PTX instructions into operations. What an instruction's modifiers ask for is taken from a list, and anything that
/// is left over at the end is an error: nothing is ignored silently.
/// </summary>
internal sealed unsafe partial class Decoder(
    IReadOnlyDictionary<string, PtxType> registers, RegisterAllocation allocation, ConstantPool constants, SymbolTable symbols,
    IReadOnlySet<string> parameters)
{
    private readonly List<string> modifiers = [];
    private readonly List<PtxType> types = [];
    private PtxInstruction instruction = null!;
    private Operation op;
    private bool emitted;

    /// <summary>Native memory of operand lists.</summary>
    public List<nint> Lists { get; } = [];

    public Operation Decode(PtxInstruction next, int index)
    {
        instruction = next;
        modifiers.Clear();
        types.Clear();
        foreach (string modifier in next.Modifiers)
        {
            if (PtxType.TryParse(modifier, out PtxType type)) types.Add(type);
            else modifiers.Add(modifier);
        }

        op = new Operation
        {
            Guard = next.Guard is null ? Operation.NoGuard : Register(next.Guard),
            GuardFlip = next.GuardNegated ? uint.MaxValue : 0,
            Index = index,
            B = Operation.NoGuard,
            Z = 0,
        };
        emitted = false;
        Dispatch();
        if (!emitted) throw Unknown();

        if (modifiers.Count > 0)
        {
            throw Error($"'{next}' has the modifier .{modifiers[0]}, which is not known here");
        }

        return op;
    }

    private void Dispatch()
    {
        switch (instruction.Opcode)
        {
            case "add" or "sub" or "mul" or "mad" or "fma" or "div" or "rem" or "min" or "max" or "abs" or "neg"
                or "addc" or "subc" or "madc" or "mul24" or "mad24" or "sad":
                Arithmetic();
                break;
            case "and" or "or" or "xor" or "not" or "cnot" or "shl" or "shr" or "shf" or "lop3" or "prmt" or "popc"
                or "clz" or "brev" or "bfind" or "bfe" or "bfi" or "dp4a" or "dp2a":
                Bits();
                break;
            case "rcp" or "sqrt" or "rsqrt" or "ex2" or "lg2" or "sin" or "cos" or "tanh" or "copysign" or "testp":
                Functions();
                break;
            case "setp" or "set" or "selp" or "slct":
                Comparison();
                break;
            case "cvt":
                Conversion();
                break;
            case "mov" or "cvta" or "isspacep":
                Move();
                break;
            case "ld" or "ldu" or "st" or "prefetch" or "prefetchu" or "applypriority" or "discard":
                Memory();
                break;
            case "atom" or "red":
                Atomics();
                break;
            case "cp":
                AsyncCopy();
                break;
            case "mma" or "ldmatrix":
                Matrix();
                break;
            case "shfl" or "vote" or "match" or "redux" or "activemask" or "membar" or "fence":
                WarpWide();
                break;
            case "bar" or "barrier" or "bra" or "ret" or "exit" or "trap" or "brkpt" or "nanosleep":
                Control();
                break;
            default:
                break;
        }
    }

    private PtxException Unknown() => Error($"the instruction '{instruction}' is not known here");

    private PtxException Error(string message) => new(instruction.PtxLine, $"{message} (source {instruction.Location})");

    /// <summary>Whether a modifier is there; it counts as understood from then on.</summary>
    private bool Take(string modifier) => modifiers.Remove(modifier);

    private void TakeAll(params ReadOnlySpan<string> known)
    {
        foreach (string modifier in known) modifiers.Remove(modifier);
    }

    private string TakeOne(params ReadOnlySpan<string> known)
    {
        foreach (string modifier in known)
        {
            if (modifiers.Remove(modifier)) return modifier;
        }

        throw Unknown();
    }

    private PtxType Type => types.Count > 0 ? types[^1] : throw Unknown();

    private PtxOperand Operand(int index) => index < instruction.Operands.Count
        ? instruction.Operands[index]
        : throw Error($"'{instruction}' needs {index + 1} operands and has {instruction.Operands.Count}");

    private int Register(string name) => allocation.Offsets.TryGetValue(name, out int offset) ? offset
        : throw Error($"register {name} is not declared");

    private static int Width(PtxType type) => type.Bits == 64 ? 8 : type.Kind == PtxKind.Predicate ? 1 : 4;

    /// <summary>Bytes per lane of the register that an operand names; those of the type otherwise.</summary>
    private int RegisterWidth(PtxOperand operand, PtxType type) =>
        operand.Kind == OperandKind.Register && registers.TryGetValue(operand.Name, out PtxType declared) ? Width(declared) : Width(type);

    private int Destination(int index, PtxType type)
    {
        PtxOperand operand = Operand(index);
        if (operand.Kind == OperandKind.Sink) return Width(type) == 8 ? constants.Sink8 : constants.Sink4;

        if (operand.Kind != OperandKind.Register)
        {
            throw Error($"the result of '{instruction}' must be a register");
        }

        if (RegisterWidth(operand, type) != Width(type))
        {
            throw Error($"'{instruction}' gives {type.Bits} bits and {operand.Name} holds another number");
        }

        return Register(operand.Name);
    }

    private int Source(int index, PtxType type) => Source(Operand(index), type);

    /// <summary>Offset of a value: a register, or a constant that is put into the pool.</summary>
    private int Source(PtxOperand operand, PtxType type)
    {
        int width = Width(type);
        switch (operand.Kind)
        {
            case OperandKind.Register:
                if (RegisterWidth(operand, type) != width)
                {
                    throw Error($"'{instruction}' takes {type.Bits} bits and {operand.Name} holds another number");
                }

                return Register(operand.Name);
            case OperandKind.Integer:
                return constants.Value(type.Kind == PtxKind.Float && type.Lanes == 1 && type.Bits >= 32 ? FloatBits(operand.Value, type)
                    : operand.Value, width);
            case OperandKind.Single:
                return constants.Value(type is { Kind: PtxKind.Float, Bits: 64 }
                    ? BitConverter.DoubleToInt64Bits(BitConverter.Int32BitsToSingle((int)operand.Value)) : operand.Value, width);
            case OperandKind.Double:
                return constants.Value(width == 8 ? operand.Value
                    : BitConverter.SingleToInt32Bits((float)BitConverter.Int64BitsToDouble(operand.Value)), width);
            case OperandKind.Symbol when operand.Name.StartsWith('%'):
                return Special(operand.Name, width);
            case OperandKind.Symbol:
                return constants.Value(symbols.Address(operand.Name, instruction) + operand.Value, width);
            default:
                throw Error($"'{instruction}' has an operand that is not known here");
        }
    }

    private static long FloatBits(long value, PtxType type) =>
        type.Bits == 64 ? BitConverter.DoubleToInt64Bits(value) : BitConverter.SingleToInt32Bits(value);

    private int Special(string name, int width)
    {
        if (width == 8 && name is not ("%clock64" or "%globaltimer"))
        {
            throw Error($"special register {name} has 32 bits");
        }

        return constants.Special(name) ?? throw Error($"special register {name} is not known here");
    }

    /// <summary>A predicate that is read; <paramref name="flip"/> is all ones where it is negated.</summary>
    private int Predicate(PtxOperand operand, out int flip)
    {
        flip = operand.Negated ? -1 : 0;
        return operand.Kind switch
        {
            OperandKind.Register => Register(operand.Name),
            OperandKind.Integer => constants.Value(operand.Value != 0 ? -1 : 0, 1),
            _ => throw Error($"'{instruction}' needs a predicate"),
        };
    }

    /// <summary>The predicate after the bar in <c>%r|%p</c>, or 0.</summary>
    private int SecondPredicate(PtxOperand operand) => operand.Pair is { Kind: OperandKind.Register } pair ? Register(pair.Name) : 0;

    private int* List(IReadOnlyList<int> offsets)
    {
        int* list = (int*)NativeMemory.Alloc((nuint)Math.Max(1, offsets.Count), sizeof(int));
        for (int i = 0; i < offsets.Count; i++) list[i] = offsets[i];

        Lists.Add((nint)list);
        return list;
    }

    private void Emit(delegate*<Warp, Operation*, byte*, void> run, Writes writes, Work work, int weight = 1)
    {
        op.Run = run;
        op.Writes = writes;
        op.Work = work;
        op.Weight = (byte)weight;
        emitted = true;
    }

    private static Writes WritesOf(PtxType type) => Width(type) == 8 ? Writes.Longs : Writes.Words;

    private void Unary(delegate*<Warp, Operation*, byte*, void> run, PtxType result, PtxType source, Work work, int weight = 1)
    {
        op.Destination = Destination(0, result);
        op.A = Source(1, source);
        Emit(run, WritesOf(result), work, weight);
    }

    private void Binary(delegate*<Warp, Operation*, byte*, void> run, PtxType type, Work work, int weight = 1)
    {
        op.B = Source(2, type);
        Unary(run, type, type, work, weight);
    }

    private void Ternary(delegate*<Warp, Operation*, byte*, void> run, PtxType type, Work work, int weight = 1)
    {
        op.C = Source(3, type);
        Binary(run, type, work, weight);
    }
}
