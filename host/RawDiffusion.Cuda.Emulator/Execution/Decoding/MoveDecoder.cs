using RawDiffusion.Cuda.Emulator.Execution.Instructions;
using RawDiffusion.Cuda.Emulator.Memory;
using RawDiffusion.Cuda.Emulator.Ptx;
using static RawDiffusion.Cuda.Emulator.Execution.Instructions.CompareInstructions;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Moves, comparisons and conversions.</summary>
internal sealed unsafe partial class Decoder
{
    private void Move()
    {
        switch (instruction.Opcode)
        {
            case "mov" when Type.Kind == PtxKind.Predicate:
                op.X = 4;
                op.Destination = Register(Operand(0).Name);
                op.A = Predicate(Operand(1), out op.Y);
                Emit(&CompareInstructions.PredicateLogic, Writes.Predicate, Work.Other);
                break;
            case "mov" when Operand(0).Kind == OperandKind.Vector:
                Unpack();
                break;
            case "mov" when Operand(1).Kind == OperandKind.Vector:
                IReadOnlyList<PtxOperand> elements = Operand(1).Elements;
                op.Y = elements.Count;
                op.X = Type.Bits / elements.Count;
                var element = new PtxType(PtxKind.Bits, op.X);
                op.List = List([.. elements.Select(e => Source(e, element))]);
                op.Destination = Destination(0, Type);
                Emit(&MoveInstructions.Pack, WritesOf(Type), Work.Other);
                break;
            case "mov" when Operand(1) is { Kind: OperandKind.Symbol, Name: "%clock" or "%clock64" or "%globaltimer" }:
                op.X = Width(Type);
                op.Destination = Destination(0, Type);
                Emit(&WarpInstructions.Clock, Writes.Itself, Work.Other);
                break;
            case "mov":
                Unary(Width(Type) == 8 ? &MoveInstructions.Move64 : &MoveInstructions.Move32, Type, Type, Work.Other);
                break;
            case "cvta":
                bool toSpace = Take("to");
                long window = (long)TakeWindow();
                op.Immediate = toSpace ? -window : window;
                Unary(&MoveInstructions.AddImmediate, Bits64, Bits64, Work.Other);
                break;
            default:
                op.Immediate = (long)TakeWindow();
                op.Destination = Register(Operand(0).Name);
                op.A = Source(1, Bits64);
                Emit(&MoveInstructions.IsSpace, Writes.Predicate, Work.Other);
                break;
        }
    }

    private ulong TakeWindow() => TakeOne("shared", "local", "global", "const", "param") switch
    {
        "shared" => EmulatedMemory.SharedWindow,
        "local" => EmulatedMemory.LocalWindow,
        "param" => EmulatedMemory.ParameterWindow,
        _ => 0,
    };

    private void Unpack()
    {
        IReadOnlyList<PtxOperand> elements = Operand(0).Elements;
        op.Y = elements.Count;
        op.X = Type.Bits / elements.Count;
        op.A = Source(1, Type);
        op.List = List([.. elements.Select(e => e.Kind == OperandKind.Sink ? Operation.NoGuard : Register(e.Name))]);
        Emit(&MoveInstructions.Unpack, Writes.Itself, Work.Other);
    }

    private void Comparison()
    {
        switch (instruction.Opcode)
        {
            case "selp":
                op.C = Predicate(Operand(3), out op.Z);
                Binary(Width(Type) == 8 ? &Select64 : &Select32, Type, Work.Integer);
                break;
            case "slct" when types.Count == 2:
                Take("ftz");
                op.X = Width(types[0]);
                op.Y = types[1].Kind == PtxKind.Float ? 1 : 0;
                op.C = Source(3, types[1]);
                op.B = Source(2, types[0]);
                Unary(&SelectBySign, types[0], types[0], Work.Integer);
                break;
            case "setp":
                op.Destination = Register(Operand(0).Name);
                op.Second = SecondPredicate(Operand(0));
                Compare(set: false);
                break;
            case "set" when types.Count == 2 && types[0].Bits == 32 && types[0].Lanes == 1:
                op.Destination = Destination(0, types[0]);
                op.Y = types[0].Kind == PtxKind.Float ? 1 : 0;
                Compare(set: true);
                break;
            default:
                break;
        }
    }

    private void Compare(bool set)
    {
        PtxType type = Type;
        if (type.Lanes == 2 || type.Bits == 8) return;

        string how = TakeOne("eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu", "geu",
            "num", "nan");
        bool flush = Take("ftz");
        op.A = Source(1, type);
        op.B = Source(2, type);
        foreach ((string name, int value) in new[] { ("and", 1), ("or", 2), ("xor", 3) })
        {
            op.X = Take(name) ? value : op.X;
        }

        if (op.X != 0) op.C = Predicate(Operand(3), out op.Z);

        bool isFloat = type.Kind is PtxKind.Float or PtxKind.BFloat;
        delegate*<Warp, Operation*, byte*, void> run = how switch
        {
            "eq" => Comparer<Equal>(type, flush, set),
            "ne" when isFloat => Comparer<AndOrdered<NotEqual>>(type, flush, set),
            "ne" or "neu" => Comparer<NotEqual>(type, flush, set),
            "lt" or "lo" => Comparer<Less>(type, flush, set),
            "le" or "ls" => Comparer<LessEqual>(type, flush, set),
            "gt" or "hi" => Comparer<Greater>(type, flush, set),
            "ge" or "hs" => Comparer<GreaterEqual>(type, flush, set),
            "equ" => Comparer<OrUnordered<Equal>>(type, flush, set),
            "ltu" => Comparer<OrUnordered<Less>>(type, flush, set),
            "leu" => Comparer<OrUnordered<LessEqual>>(type, flush, set),
            "gtu" => Comparer<OrUnordered<Greater>>(type, flush, set),
            "geu" => Comparer<OrUnordered<GreaterEqual>>(type, flush, set),
            "num" => Comparer<Ordered>(type, flush, set),
            _ => Comparer<Unordered>(type, flush, set),
        };
        Emit(run, set ? Writes.Words : op.Second != 0 ? Writes.Itself : Writes.Predicate, isFloat ? Work.Float32 : Work.Integer);
    }

    private static delegate*<Warp, Operation*, byte*, void> Comparer<TOp>(PtxType type, bool flush, bool set)
        where TOp : struct, IComparison => (type.Kind, type.Bits) switch
        {
            (PtxKind.Float, 16) => Choose<TOp, FromHalf, float>(set),
            (PtxKind.BFloat, 16) => Choose<TOp, FromBFloat, float>(set),
            (PtxKind.Float, 32) => flush ? Choose<TOp, Flushed, float>(set) : Choose<TOp, Plain<float>, float>(set),
            (PtxKind.Float, _) => Choose<TOp, Plain<double>, double>(set),
            (PtxKind.Signed, 16) => Choose<TOp, SignExtended16, int>(set),
            (PtxKind.Signed, 32) => Choose<TOp, Plain<int>, int>(set),
            (PtxKind.Signed, _) => Choose<TOp, Plain<long>, long>(set),
            (_, 16) => Choose<TOp, ZeroExtended16, uint>(set),
            (_, 32) => Choose<TOp, Plain<uint>, uint>(set),
            _ => Choose<TOp, Plain<ulong>, ulong>(set),
        };

    private static delegate*<Warp, Operation*, byte*, void> Choose<TOp, TSource, T>(bool set)
        where TOp : struct, IComparison
        where TSource : struct, ISource<T>
        where T : unmanaged => set ? &Set<TOp, TSource, T> : &SetPredicate<TOp, TSource, T>;

    private void Conversion()
    {
        if (types.Count < 2) return;

        PtxType to = types[0], from = types[^1];
        if (to.Lanes == 2 && from is { Kind: PtxKind.Float, Bits: 32 } && types.Count == 2)
        {
            op.Z = (int)TakeRounding();
            op.X = Take("relu") ? 1 : 0;
            op.B = Source(2, from);
            Unary(to.Kind == PtxKind.BFloat
                ? op is { X: 0, Z: 0 } ? &ConvertInstructions.PackBFloatPair : &ConvertInstructions.PackPair<BFloatFormat>
                : &ConvertInstructions.PackPair<HalfFormat>, Bits32, from, Work.Conversion, 2);
            return;
        }

        int flags = (Take("sat") ? ConvertInstructions.Saturate : 0) | (Take("ftz") ? ConvertInstructions.Flush : 0)
            | (Take("relu") ? ConvertInstructions.Relu : 0);
        (string, RoundingMode)[] modes =
        [
            ("rni", RoundingMode.Nearest), ("rzi", RoundingMode.Zero), ("rmi", RoundingMode.Down), ("rpi", RoundingMode.Up),
        ];
        foreach ((string name, RoundingMode mode) in modes)
        {
            flags |= Take(name) ? (int)mode | ConvertInstructions.Integral : 0;
        }

        flags |= (int)TakeRounding();
        int fromWidth = RegisterWidth(Operand(1), from), toWidth = RegisterWidth(Operand(0), to);
        op.Destination = Destination(0, toWidth == 8 ? Bits64 : Bits32);
        op.A = Source(1, Operand(1).Kind == OperandKind.Register ? fromWidth == 8 ? Bits64 : Bits32 : from);
        Writes writes = toWidth == 8 ? Writes.Longs : Writes.Words;
        delegate*<Warp, Operation*, byte*, void> fast = Fast(from, to, flags, fromWidth, toWidth);
        if (fast != null)
        {
            Emit(fast, writes, Work.Conversion);
            return;
        }

        op.X = (int)Format(from);
        op.Y = (int)Format(to);
        op.Z = flags;
        op.B = fromWidth;
        op.C = toWidth;
        Emit(&ConvertInstructions.General, writes, Work.Conversion);
    }

    private static delegate*<Warp, Operation*, byte*, void> Fast(PtxType from, PtxType to, int flags, int fromWidth, int toWidth)
    {
        bool integers = from.Kind is PtxKind.Signed or PtxKind.Unsigned && to.Kind is PtxKind.Signed or PtxKind.Unsigned && flags == 0;
        return (from.Kind, from.Bits, to.Kind, to.Bits) switch
        {
            (PtxKind.Unsigned, 32, _, 64) when integers && fromWidth == 4 => &ConvertInstructions.ZeroExtend,
            (PtxKind.Signed, 32, _, 64) when integers && fromWidth == 4 => &ConvertInstructions.SignExtend,
            (_, 64, _, 32) when integers && toWidth == 4 => &ConvertInstructions.Truncate,
            (_, 32, _, 32) when integers && fromWidth == 4 && toWidth == 4 => &MoveInstructions.Move32,
            (PtxKind.Signed, 32, PtxKind.Float, 32) when flags == 0 => &Lanes.Vector1<ConvertInstructions.FromSigned, int>,
            (PtxKind.Unsigned, 32, PtxKind.Float, 32) when flags == 0 => &Lanes.Map1<ConvertInstructions.FromUnsigned, uint, float>,
            (PtxKind.Float, 16, PtxKind.Float, 32) when (flags & ~ConvertInstructions.Flush) == 0 =>
            &Lanes.Vector1<ConvertInstructions.FromHalf, uint>,
            (PtxKind.Float, 32, PtxKind.BFloat, 16) when flags == 0 => &Lanes.Vector1<ConvertInstructions.ToBFloat, uint>,
            _ => null,
        };
    }

    private NumberFormat Format(PtxType type) => (type.Kind, type.Bits, type.Lanes) switch
    {
        (PtxKind.Unsigned, 8, _) => NumberFormat.Unsigned8,
        (PtxKind.Signed, 8, _) => NumberFormat.Signed8,
        (PtxKind.Unsigned, 16, _) => NumberFormat.Unsigned16,
        (PtxKind.Signed, 16, _) => NumberFormat.Signed16,
        (PtxKind.Unsigned, 32, _) => NumberFormat.Unsigned32,
        (PtxKind.Signed, 32, _) => NumberFormat.Signed32,
        (PtxKind.Unsigned, 64, _) => NumberFormat.Unsigned64,
        (PtxKind.Signed, 64, _) => NumberFormat.Signed64,
        (PtxKind.Float, 16, 1) => NumberFormat.Half,
        (PtxKind.BFloat, 16, 1) => NumberFormat.BFloat,
        (PtxKind.Float, 32, 1) => NumberFormat.Single,
        (PtxKind.Float, 64, _) => NumberFormat.Double,
        (PtxKind.TensorFloat, 32, _) => NumberFormat.TensorFloat,
        _ => throw Unknown(),
    };
}
