using System.Numerics;
using RawDiffusion.Cuda.Emulator.Execution.Instructions;
using RawDiffusion.Cuda.Emulator.Ptx;
using static RawDiffusion.Cuda.Emulator.Execution.Instructions.IntegerOperations;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Arithmetic of all types and integer bit operations.</summary>
internal sealed unsafe partial class Decoder
{
    private static readonly PtxType Bits32 = new(PtxKind.Bits, 32);
    private static readonly PtxType Bits64 = new(PtxKind.Bits, 64);

    private void Arithmetic()
    {
        PtxType type = Type;
        if (type.Kind is PtxKind.Float or PtxKind.BFloat && (type.Bits == 16 || type.Lanes == 2))
        {
            HalfArithmetic(type);
        }
        else if (type.Kind == PtxKind.Float && type.Bits == 32)
        {
            SingleArithmetic(type);
        }
        else if (type.Kind == PtxKind.Float)
        {
            DoubleArithmetic(type);
        }
        else if (type.Kind is PtxKind.Unsigned or PtxKind.Signed && type.Bits >= 16)
        {
            IntegerArithmetic(type);
        }
    }

    private void IntegerArithmetic(PtxType type)
    {
        bool carryOut = instruction.Opcode is not ("addc" or "subc" or "madc") && modifiers.Contains("cc");
        if (carryOut || instruction.Opcode is "addc" or "subc" or "madc")
        {
            CarryArithmetic(type);
            return;
        }

        switch (instruction.Opcode)
        {
            case "add" when type is { IsSigned: true, Bits: 32 } && Take("sat"):
                Binary(&Lanes.Map2<SaturatingAdd, int, int, int>, type, Work.Integer);
                break;
            case "sub" when type is { IsSigned: true, Bits: 32 } && Take("sat"):
                Binary(&Lanes.Map2<SaturatingSubtract, int, int, int>, type, Work.Integer);
                break;
            case "add":
                Binary(Integer2<Add>(type), type, Work.Integer);
                break;
            case "sub":
                Binary(Integer2<Subtract>(type), type, Work.Integer);
                break;
            case "min":
                Binary(Integer2<Minimum>(type), type, Work.Integer);
                break;
            case "max":
                Binary(Integer2<Maximum>(type), type, Work.Integer);
                break;
            case "mul":
                IntegerMultiply(type);
                break;
            case "mad":
                IntegerMultiplyAdd(type);
                break;
            case "mul24" when type.Bits == 32 && Take("lo"):
                Binary(type.IsSigned ? &Lanes.Map2<Multiply24<int>, int, int, int> : &Lanes.Map2<Multiply24<uint>, uint, uint, uint>, type,
                    Work.Integer);
                break;
            case "mad24" when type.Bits == 32 && Take("lo"):
                Ternary(type.IsSigned ? &Lanes.Map3<Multiply24Add<int>, int, int, int, int>
                    : &Lanes.Map3<Multiply24Add<uint>, uint, uint, uint, uint>, type, Work.Integer, 2);
                break;
            case "div":
                Binary(ByType(type, &Lanes.Map2<Divide<short>, short, short, short>, &Lanes.Map2<Divide<ushort>, ushort, ushort, ushort>,
                    &Lanes.Map2<Divide<int>, int, int, int>, &Lanes.Map2<Divide<uint>, uint, uint, uint>,
                    &Lanes.Map2<Divide<long>, long, long, long>, &Lanes.Map2<Divide<ulong>, ulong, ulong, ulong>), type, Work.Integer, 20);
                break;
            case "rem":
                Binary(ByType(type, &Lanes.Map2<Remainder<short>, short, short, short>,
                    &Lanes.Map2<Remainder<ushort>, ushort, ushort, ushort>,
                    &Lanes.Map2<Remainder<int>, int, int, int>, &Lanes.Map2<Remainder<uint>, uint, uint, uint>,
                    &Lanes.Map2<Remainder<long>, long, long, long>, &Lanes.Map2<Remainder<ulong>, ulong, ulong, ulong>), type,
                    Work.Integer, 20);
                break;
            case "sad":
                Ternary(ByType(type, &Lanes.Map3<AbsoluteDifference<short>, short, short, short, short>,
                    &Lanes.Map3<AbsoluteDifference<ushort>, ushort, ushort, ushort, ushort>,
                    &Lanes.Map3<AbsoluteDifference<int>, int, int, int, int>, &Lanes.Map3<AbsoluteDifference<uint>, uint, uint, uint, uint>,
                    &Lanes.Map3<AbsoluteDifference<long>, long, long, long, long>,
                    &Lanes.Map3<AbsoluteDifference<ulong>, ulong, ulong, ulong, ulong>), type, Work.Integer);
                break;
            case "abs" when type.IsSigned:
                Unary(type.Bits == 64 ? &Lanes.Map1<Absolute<long>, long, long> : type.Bits == 32 ? &Lanes.Map1<Absolute<int>, int, int>
                    : &Lanes.Map1<Absolute<short>, short, short>, type, type, Work.Integer);
                break;
            case "neg" when type.IsSigned:
                Unary(type.Bits == 64 ? &Lanes.Map1<Negate<long>, long, long> : type.Bits == 32 ? &Lanes.Map1<Negate<int>, int, int>
                    : &Lanes.Map1<Negate<short>, short, short>, type, type, Work.Integer);
                break;
            default:
                break;
        }
    }

    private static delegate*<Warp, Operation*, byte*, void> ByType(
        PtxType type,
        delegate*<Warp, Operation*, byte*, void> signed16,
        delegate*<Warp, Operation*, byte*, void> unsigned16,
        delegate*<Warp, Operation*, byte*, void> signed32,
        delegate*<Warp, Operation*, byte*, void> unsigned32,
        delegate*<Warp, Operation*, byte*, void> signed64,
        delegate*<Warp, Operation*, byte*, void> unsigned64) => (type.Bits, type.IsSigned) switch
        {
            (16, true) => signed16,
            (16, false) => unsigned16,
            (32, true) => signed32,
            (32, false) => unsigned32,
            (64, true) => signed64,
            _ => unsigned64,
        };

    private static delegate*<Warp, Operation*, byte*, void> Integer2<TOp>(PtxType type)
        where TOp : struct, IInteger2 => ByType(type, &Narrow2<TOp, short>, &Narrow2<TOp, ushort>, &Wide2<TOp, int>, &Wide2<TOp, uint>,
        &Wide2<TOp, long>, &Wide2<TOp, ulong>);

    private readonly struct Scalar<TOp, T> : IBinary<T, T, T>
        where TOp : struct, IInteger2
        where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
    {
        public static T Apply(T a, T b) => TOp.Apply(a, b);
    }

    private readonly struct Vectors<TOp, T> : IVector2<T>
        where TOp : struct, IInteger2
        where T : unmanaged
    {
        public static System.Runtime.Intrinsics.Vector512<T> Apply(
            System.Runtime.Intrinsics.Vector512<T> a, System.Runtime.Intrinsics.Vector512<T> b) => TOp.Apply(a, b);
    }

    private static void Narrow2<TOp, T>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IInteger2
        where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => Lanes.Map2<Scalar<TOp, T>, T, T, T>(warp, op, target);

    private static void Wide2<TOp, T>(Warp warp, Operation* op, byte* target)
        where TOp : struct, IInteger2
        where T : unmanaged => Lanes.Vector2<Vectors<TOp, T>, T>(warp, op, target);

    private PtxType Doubled(PtxType type) => type with { Bits = type.Bits * 2 };

    private void IntegerMultiply(PtxType type)
    {
        if (Take("lo"))
        {
            Binary(Integer2<MultiplyLow>(type), type, Work.Integer);
        }
        else if (Take("hi"))
        {
            Binary(ByType(type, &Lanes.Map2<MultiplyHigh<short, int>, short, short, short>,
                &Lanes.Map2<MultiplyHigh<ushort, uint>, ushort, ushort, ushort>,
                &Lanes.Map2<MultiplyHigh<int, long>, int, int, int>, &Lanes.Map2<MultiplyHigh<uint, ulong>, uint, uint, uint>,
                &Lanes.Map2<MultiplyHigh<long, Int128>, long, long, long>, &Lanes.Map2<MultiplyHigh<ulong, UInt128>, ulong, ulong, ulong>),
                type, Work.Integer);
        }
        else if (Take("wide") && type.Bits <= 32)
        {
            op.B = Source(2, type);
            Unary(ByType(type, &Lanes.Map2<MultiplyWide<short, int>, short, short, int>,
                &Lanes.Map2<MultiplyWide<ushort, uint>, ushort, ushort, uint>,
                &Lanes.Map2<MultiplyWide<int, long>, int, int, long>, &Lanes.Map2<MultiplyWide<uint, ulong>, uint, uint, ulong>, null,
                null), Doubled(type), type, Work.Integer);
        }
    }

    private void IntegerMultiplyAdd(PtxType type)
    {
        if (Take("lo"))
        {
            Ternary(ByType(type, &Lanes.Map3<MultiplyAdd<short>, short, short, short, short>,
                &Lanes.Map3<MultiplyAdd<ushort>, ushort, ushort, ushort, ushort>,
                &Lanes.Vector3<MultiplyAdd<int>, int>, &Lanes.Vector3<MultiplyAdd<uint>, uint>,
                &Lanes.Vector3<MultiplyAdd<long>, long>, &Lanes.Vector3<MultiplyAdd<ulong>, ulong>), type, Work.Integer, 2);
        }
        else if (Take("hi"))
        {
            Ternary(type is { IsSigned: true, Bits: 32 } && Take("sat")
                ? &Lanes.Map3<MultiplyHighAddSaturating, int, int, int, int> : ByType(
                type, &Lanes.Map3<MultiplyHighAdd<short, int>, short, short, short, short>,
                    &Lanes.Map3<MultiplyHighAdd<ushort, uint>, ushort, ushort, ushort, ushort>,
                &Lanes.Map3<MultiplyHighAdd<int, long>, int, int, int, int>,
                &Lanes.Map3<MultiplyHighAdd<uint, ulong>, uint, uint, uint, uint>,
                &Lanes.Map3<MultiplyHighAdd<long, Int128>, long, long, long, long>,
                &Lanes.Map3<MultiplyHighAdd<ulong, UInt128>, ulong, ulong, ulong, ulong>), type, Work.Integer, 2);
        }
        else if (Take("wide") && type.Bits <= 32)
        {
            op.B = Source(2, type);
            op.C = Source(3, Doubled(type));
            Unary(ByType(type, &Lanes.Map3<MultiplyWideAdd<short, int>, short, short, int, int>,
                &Lanes.Map3<MultiplyWideAdd<ushort, uint>, ushort, ushort, uint, uint>,
                &Lanes.Map3<MultiplyWideAdd<int, long>, int, int, long, long>,
                &Lanes.Map3<MultiplyWideAdd<uint, ulong>, uint, uint, ulong, ulong>, null, null), Doubled(type), type, Work.Integer, 2);
        }
    }

    private void CarryArithmetic(PtxType type)
    {
        bool multiplies = instruction.Opcode is "mad" or "madc";
        op.X = multiplies
            ? TakeOne("lo", "hi") == "lo" ? BitInstructions.CarryMultiplyLow : BitInstructions.CarryMultiplyHigh
            : instruction.Opcode is "sub" or "subc" ? BitInstructions.CarrySubtract : BitInstructions.CarryAdd;
        op.Y = (instruction.Opcode.EndsWith('c') ? 1 : 0) | (Take("cc") ? 2 : 0);
        op.Z = type.IsSigned ? 1 : 0;
        op.Destination = Destination(0, type);
        op.A = Source(1, type);
        op.B = Source(2, type);
        op.C = multiplies ? Source(3, type) : op.A;
        Emit(type.Bits == 64 ? &BitInstructions.Carry<ulong, UInt128> : &BitInstructions.Carry<uint, ulong>, Writes.Itself, Work.Integer,
            multiplies ? 2 : 1);
    }

    private void Bits()
    {
        if (types.Count > 0 && types[^1].Kind == PtxKind.Predicate)
        {
            PredicateLogic();
            return;
        }

        PtxType type = Type;
        PtxType unsigned = type with { Kind = PtxKind.Unsigned };
        PtxType word = Bits32;
        switch (instruction.Opcode)
        {
            case "and":
                Binary(Integer2<And>(unsigned), type, Work.Integer);
                break;
            case "or":
                Binary(Integer2<Or>(unsigned), type, Work.Integer);
                break;
            case "xor":
                Binary(Integer2<Xor>(unsigned), type, Work.Integer);
                break;
            case "not":
                Unary(BySize(type, &Lanes.Map1<Not<ushort>, ushort, ushort>, &Lanes.Map1<Not<uint>, uint, uint>,
                    &Lanes.Map1<Not<ulong>, ulong, ulong>), type, type, Work.Integer);
                break;
            case "cnot":
                Unary(BySize(type, &Lanes.Map1<LogicalNot<ushort>, ushort, ushort>, &Lanes.Map1<LogicalNot<uint>, uint, uint>,
                    &Lanes.Map1<LogicalNot<ulong>, ulong, ulong>), type, type, Work.Integer);
                break;
            case "shl":
                op.B = Source(2, word);
                Unary(BySize(type, &Lanes.Map2<ShiftLeft<ushort>, ushort, uint, ushort>, &Lanes.Map2<ShiftLeft<uint>, uint, uint, uint>,
                    &Lanes.Map2<ShiftLeft<ulong>, ulong, uint, ulong>), type, type, Work.Integer);
                break;
            case "shr":
                op.B = Source(2, word);
                Unary(ByType(type, &Lanes.Map2<ShiftRight<short>, short, uint, short>,
                    &Lanes.Map2<ShiftRight<ushort>, ushort, uint, ushort>,
                    &Lanes.Map2<ShiftRight<int>, int, uint, int>, &Lanes.Map2<ShiftRight<uint>, uint, uint, uint>,
                    &Lanes.Map2<ShiftRight<long>, long, uint, long>, &Lanes.Map2<ShiftRight<ulong>, ulong, uint, ulong>), type, type,
                    Work.Integer);
                break;
            case "shf":
                Ternary((TakeOne("l", "r"), TakeOne("wrap", "clamp")) switch
                {
                    ("l", "wrap") => &Lanes.Map3<FunnelLeftWrap, uint, uint, uint, uint>,
                    ("l", _) => &Lanes.Map3<FunnelLeftClamp, uint, uint, uint, uint>,
                    (_, "wrap") => &Lanes.Map3<FunnelRightWrap, uint, uint, uint, uint>,
                    _ => &Lanes.Map3<FunnelRightClamp, uint, uint, uint, uint>,
                }, type, Work.Integer);
                break;
            case "lop3" when type.Bits == 32 && Operand(4).Kind == OperandKind.Integer:
                op.X = (int)Operand(4).Value & 0xFF;
                Ternary(&BitInstructions.Logic3, type, Work.Integer);
                break;
            case "prmt" when type.Bits == 32:
                for (int mode = 1; mode < BitInstructions.PermuteModes.Length; mode++)
                {
                    op.X = Take(BitInstructions.PermuteModes[mode]) ? mode : op.X;
                }

                Ternary(&BitInstructions.Permute, type, Work.Integer);
                break;
            case "popc":
                Unary(type.Bits == 64 ? &Lanes.Map1<BitInstructions.Population<ulong>, ulong, uint>
                    : &Lanes.Map1<BitInstructions.Population<uint>, uint, uint>, word, type, Work.Integer);
                break;
            case "clz":
                Unary(type.Bits == 64 ? &Lanes.Map1<BitInstructions.LeadingZeros<ulong>, ulong, uint>
                    : &Lanes.Map1<BitInstructions.LeadingZeros<uint>, uint, uint>, word, type, Work.Integer);
                break;
            case "brev":
                Unary(type.Bits == 64 ? &Lanes.Map1<BitInstructions.Reverse64, ulong, ulong>
                    : &Lanes.Map1<BitInstructions.Reverse32, uint, uint>, type, type, Work.Integer);
                break;
            case "bfind":
                FindHighest(type);
                break;
            case "bfe":
                op.B = Source(2, word);
                op.C = Source(3, word);
                Unary(type.Bits == 64
                    ? type.IsSigned ? &Lanes.Map3<BitInstructions.ExtractField<long>, long, uint, uint, long>
                    : &Lanes.Map3<BitInstructions.ExtractField<ulong>, ulong, uint, uint, ulong>
                    : type.IsSigned ? &Lanes.Map3<BitInstructions.ExtractField<int>, int, uint, uint, int>
                    : &Lanes.Map3<BitInstructions.ExtractUnsigned32, uint, uint, uint, uint>, type, type, Work.Integer);
                break;
            case "bfi":
                op.B = Source(2, type);
                op.C = Source(3, word);
                op.X = Source(4, word);
                Unary(type.Bits == 64 ? &BitInstructions.InsertField<ulong> : &BitInstructions.InsertField<uint>, type, type, Work.Integer);
                break;
            case "dp4a" or "dp2a" when types.Count == 2:
                bool four = instruction.Opcode == "dp4a";
                op.X = (types[0].IsSigned ? 1 : 0) | (types[1].IsSigned ? 2 : 0) | (!four && TakeOne("lo", "hi") == "hi" ? 4 : 0);
                Ternary(four ? &BitInstructions.Dot4 : &BitInstructions.Dot2, word, Work.Integer, 2);
                break;
            default:
                break;
        }
    }

    private static delegate*<Warp, Operation*, byte*, void> BySize(
        PtxType type,
        delegate*<Warp, Operation*, byte*, void> short16,
        delegate*<Warp, Operation*, byte*, void> word32,
        delegate*<Warp, Operation*, byte*, void> long64) => type.Bits switch { 16 => short16, 32 => word32, _ => long64 };

    private void FindHighest(PtxType type)
    {
        bool shift = Take("shiftamt");
        Unary((type.Bits, type.IsSigned, shift) switch
        {
            (64, true, false) => &Lanes.Map1<BitInstructions.FindHighest<long>, long, uint>,
            (64, false, false) => &Lanes.Map1<BitInstructions.FindHighest<ulong>, ulong, uint>,
            (64, true, true) => &Lanes.Map1<BitInstructions.FindHighestShift<long>, long, uint>,
            (64, false, true) => &Lanes.Map1<BitInstructions.FindHighestShift<ulong>, ulong, uint>,
            (_, true, false) => &Lanes.Map1<BitInstructions.FindHighest<int>, int, uint>,
            (_, false, false) => &Lanes.Map1<BitInstructions.FindHighest<uint>, uint, uint>,
            (_, true, true) => &Lanes.Map1<BitInstructions.FindHighestShift<int>, int, uint>,
            _ => &Lanes.Map1<BitInstructions.FindHighestShift<uint>, uint, uint>,
        }, Bits32, type, Work.Integer);
    }

    private void PredicateLogic()
    {
        op.X = instruction.Opcode switch { "and" => 0, "or" => 1, "xor" => 2, "not" => 3, _ => throw Unknown() };
        op.Destination = Register(Operand(0).Name);
        op.A = Predicate(Operand(1), out op.Y);
        if (op.X < 3) op.B = Predicate(Operand(2), out op.Z);

        Emit(&CompareInstructions.PredicateLogic, Writes.Predicate, Work.Integer);
    }
}
