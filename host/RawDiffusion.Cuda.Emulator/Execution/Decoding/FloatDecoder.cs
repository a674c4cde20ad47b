using RawDiffusion.Cuda.Emulator.Execution.Instructions;
using RawDiffusion.Cuda.Emulator.Ptx;
using static RawDiffusion.Cuda.Emulator.Execution.Instructions.FloatInstructions;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Floating-point arithmetic and functions.</summary>
internal sealed unsafe partial class Decoder
{
    private void SingleArithmetic(PtxType type)
    {
        bool flush = Take("ftz"), saturate = Take("sat");
        switch (instruction.Opcode)
        {
            case "add":
                Binary(Rounded2<Add, AddRounded<Rounding.TowardsZero>, AddRounded<Rounding.Downwards>,
                    AddRounded<Rounding.Upwards>>(flush, saturate), type, Work.Float32);
                break;
            case "sub":
                Binary(Rounded2<Subtract, SubtractRounded<Rounding.TowardsZero>, SubtractRounded<Rounding.Downwards>,
                    SubtractRounded<Rounding.Upwards>>(flush, saturate), type, Work.Float32);
                break;
            case "mul":
                Binary(Rounded2<Multiply, MultiplyRounded<Rounding.TowardsZero>, MultiplyRounded<Rounding.Downwards>,
                    MultiplyRounded<Rounding.Upwards>>(flush, saturate), type, Work.Float32);
                break;
            case "fma" or "mad":
                Ternary(TakeRounding() switch
                {
                    RoundingMode.Nearest => Vector3<MultiplyAdd>(flush, saturate),
                    RoundingMode.Zero => Scalar3<MultiplyAddRounded<Rounding.TowardsZero>>(flush, saturate),
                    RoundingMode.Down => Scalar3<MultiplyAddRounded<Rounding.Downwards>>(flush, saturate),
                    _ => Scalar3<MultiplyAddRounded<Rounding.Upwards>>(flush, saturate),
                }, type, Work.Float32, 2);
                break;
            case "div":
                bool approximate = Take("approx") || Take("full");
                Binary(approximate
                    ? Vector2<Divide>(flush, saturate)
                    : Rounded2<Divide, DivideRounded<Rounding.TowardsZero>, DivideRounded<Rounding.Downwards>,
                        DivideRounded<Rounding.Upwards>>(flush, saturate), type, Work.Transcendental, approximate ? 1 : 2);
                break;
            case "min":
                Binary(Take("NaN") ? Vector2<MinimumNaN>(flush, saturate) : Vector2<Minimum>(flush, saturate), type, Work.Float32);
                break;
            case "max":
                Binary(Take("NaN") ? Vector2<MaximumNaN>(flush, saturate) : Vector2<Maximum>(flush, saturate), type, Work.Float32);
                break;
            case "abs":
                Unary(Vector1<Absolute>(flush, saturate), type, type, Work.Float32);
                break;
            case "neg":
                Unary(Vector1<Negate>(flush, saturate), type, type, Work.Float32);
                break;
            default:
                break;
        }
    }

    /// <summary>The rounding modifier, nearest where there is none.</summary>
    private RoundingMode TakeRounding() =>
        Take("rz") ? RoundingMode.Zero : Take("rm") ? RoundingMode.Down : Take("rp") ? RoundingMode.Up
        : Take("rna") ? RoundingMode.NearestAway : Take("rn") ? RoundingMode.Nearest : RoundingMode.Nearest;

    private delegate*<Warp, Operation*, byte*, void> Rounded2<TNearest, TZero, TDown, TUp>(bool flush, bool saturate)
        where TNearest : struct, IVector2<float>
        where TZero : struct, IBinary<float, float, float>
        where TDown : struct, IBinary<float, float, float>
        where TUp : struct, IBinary<float, float, float> => TakeRounding() switch
        {
            RoundingMode.Nearest => Vector2<TNearest>(flush, saturate),
            RoundingMode.Zero => Scalar2<TZero>(flush, saturate),
            RoundingMode.Down => Scalar2<TDown>(flush, saturate),
            _ => Scalar2<TUp>(flush, saturate),
        };

    private static delegate*<Warp, Operation*, byte*, void> Vector1<TOp>(bool flush, bool saturate)
        where TOp : struct, IVector1<float> => (flush, saturate) switch
        {
            (false, false) => &Float1<TOp, No, No>,
            (true, false) => &Float1<TOp, Yes, No>,
            (false, true) => &Float1<TOp, No, Yes>,
            _ => &Float1<TOp, Yes, Yes>,
        };

    private static delegate*<Warp, Operation*, byte*, void> Vector2<TOp>(bool flush, bool saturate)
        where TOp : struct, IVector2<float> => (flush, saturate) switch
        {
            (false, false) => &Float2<TOp, No, No>,
            (true, false) => &Float2<TOp, Yes, No>,
            (false, true) => &Float2<TOp, No, Yes>,
            _ => &Float2<TOp, Yes, Yes>,
        };

    private static delegate*<Warp, Operation*, byte*, void> Vector3<TOp>(bool flush, bool saturate)
        where TOp : struct, IVector3<float> => (flush, saturate) switch
        {
            (false, false) => &Float3<TOp, No, No>,
            (true, false) => &Float3<TOp, Yes, No>,
            (false, true) => &Float3<TOp, No, Yes>,
            _ => &Float3<TOp, Yes, Yes>,
        };

    private static delegate*<Warp, Operation*, byte*, void> Scalar2<TOp>(bool flush, bool saturate)
        where TOp : struct, IBinary<float, float, float> => (flush, saturate) switch
        {
            (false, false) => &Lanes.Map2<Modified2<TOp, No, No>, float, float, float>,
            (true, false) => &Lanes.Map2<Modified2<TOp, Yes, No>, float, float, float>,
            (false, true) => &Lanes.Map2<Modified2<TOp, No, Yes>, float, float, float>,
            _ => &Lanes.Map2<Modified2<TOp, Yes, Yes>, float, float, float>,
        };

    private static delegate*<Warp, Operation*, byte*, void> Scalar3<TOp>(bool flush, bool saturate)
        where TOp : struct, ITernary<float, float, float, float> => (flush, saturate) switch
        {
            (false, false) => &Lanes.Map3<Modified3<TOp, No, No>, float, float, float, float>,
            (true, false) => &Lanes.Map3<Modified3<TOp, Yes, No>, float, float, float, float>,
            (false, true) => &Lanes.Map3<Modified3<TOp, No, Yes>, float, float, float, float>,
            _ => &Lanes.Map3<Modified3<TOp, Yes, Yes>, float, float, float, float>,
        };

    private static delegate*<Warp, Operation*, byte*, void> Scalar1<TOp>(bool flush)
        where TOp : struct, IUnary<float, float> =>
        flush ? &Lanes.Map1<Modified1<TOp, Yes>, float, float> : &Lanes.Map1<Modified1<TOp, No>, float, float>;

    private void DoubleArithmetic(PtxType type)
    {
        // Other roundings of float64 stay in the list of modifiers and are refused.
        Take("rn");
        switch (instruction.Opcode)
        {
            case "add":
                Binary(&Lanes.Vector2<DoubleOperations.Add, double>, type, Work.Float64);
                break;
            case "sub":
                Binary(&Lanes.Vector2<DoubleOperations.Subtract, double>, type, Work.Float64);
                break;
            case "mul":
                Binary(&Lanes.Vector2<DoubleOperations.Multiply, double>, type, Work.Float64);
                break;
            case "div":
                Binary(&Lanes.Vector2<DoubleOperations.Divide, double>, type, Work.Float64, 8);
                break;
            case "min":
                Binary(&Lanes.Vector2<DoubleOperations.Minimum, double>, type, Work.Float64);
                break;
            case "max":
                Binary(&Lanes.Vector2<DoubleOperations.Maximum, double>, type, Work.Float64);
                break;
            case "fma" or "mad":
                Ternary(&Lanes.Vector3<DoubleOperations.MultiplyAdd, double>, type, Work.Float64, 2);
                break;
            case "abs":
                Unary(&Lanes.Vector1<DoubleOperations.Absolute, double>, type, type, Work.Float64);
                break;
            case "neg":
                Unary(&Lanes.Vector1<DoubleOperations.Negate, double>, type, type, Work.Float64);
                break;
            default:
                break;
        }
    }

    private void HalfArithmetic(PtxType type)
    {
        HalfKind? kind = instruction.Opcode switch
        {
            "add" => HalfKind.Add,
            "sub" => HalfKind.Subtract,
            "mul" => HalfKind.Multiply,
            "fma" => HalfKind.MultiplyAdd,
            "min" => Take("NaN") ? HalfKind.MinimumNaN : HalfKind.Minimum,
            "max" => Take("NaN") ? HalfKind.MaximumNaN : HalfKind.Maximum,
            "neg" => HalfKind.Negate,
            "abs" => HalfKind.Absolute,
            _ => null,
        };
        if (kind is not null)
        {
            Half(kind.Value, type, kind == HalfKind.MultiplyAdd ? 3 : kind is HalfKind.Negate or HalfKind.Absolute ? 1 : 2);
        }
    }

    private void Half(HalfKind kind, PtxType type, int sources)
    {
        Take("rn");
        op.X = (int)kind;
        op.Y = (Take("ftz") ? HalfInstructions.Flush : 0) | (Take("sat") ? HalfInstructions.Saturate : 0)
            | (Take("relu") ? HalfInstructions.Relu : 0);
        op.Destination = Destination(0, type);
        op.A = Source(1, type);
        op.B = sources > 1 ? Source(2, type) : op.A;
        op.C = sources > 2 ? Source(3, type) : op.A;
        bool brain = type.Kind == PtxKind.BFloat;
        Emit(type.Lanes == 2
            ? brain ? &HalfInstructions.Pair<BFloatFormat> : &HalfInstructions.Pair<HalfFormat>
            : brain ? &HalfInstructions.Single<BFloatFormat> : &HalfInstructions.Single<HalfFormat>, Writes.Words, Work.Float16,
            type.Lanes * (sources == 3 ? 2 : 1));
    }

    private void Functions()
    {
        PtxType type = Type;
        if (type.Kind != PtxKind.Float) return;

        if (instruction.Opcode == "testp")
        {
            op.X = Array.IndexOf(["finite", "infinite", "number", "notanumber", "normal", "subnormal"],
                TakeOne("finite", "infinite", "number", "notanumber", "normal", "subnormal"));
            op.Destination = Register(Operand(0).Name);
            op.A = Source(1, type);
            Emit(type.Bits == 64 ? &CompareInstructions.Test<double> : &CompareInstructions.Test<float>, Writes.Predicate, Work.Float32);
        }
        else if (instruction.Opcode == "copysign")
        {
            Binary(type.Bits == 64 ? &Lanes.Map2<CopySign64, double, double, double> : &Lanes.Map2<CopySign, float, float, float>, type,
                Work.Float32);
        }
        else if (type.Bits == 16 || type.Lanes == 2)
        {
            Take("approx");
            HalfKind kind = instruction.Opcode switch { "tanh" => HalfKind.Tanh, "ex2" => HalfKind.Exponential2, _ => throw Unknown() };
            Half(kind, type, 1);
            op.Work = Work.Transcendental;
        }
        else if (type.Bits == 64)
        {
            DoubleFunctions(type);
        }
        else
        {
            SingleFunctions(type);
        }
    }

    private void DoubleFunctions(PtxType type)
    {
        TakeAll("rn", "approx", "ftz");
        switch (instruction.Opcode)
        {
            case "rcp":
                Unary(&Lanes.Vector1<DoubleOperations.Reciprocal, double>, type, type, Work.Float64, 8);
                break;
            case "sqrt":
                Unary(&Lanes.Vector1<DoubleOperations.SquareRoot, double>, type, type, Work.Float64, 8);
                break;
            case "rsqrt":
                Unary(&Lanes.Vector1<DoubleOperations.ReciprocalSquareRoot, double>, type, type, Work.Float64, 8);
                break;
            default:
                break;
        }
    }

    private void SingleFunctions(PtxType type)
    {
        bool flush = Take("ftz");
        bool approximate = Take("approx");
        switch (instruction.Opcode)
        {
            case "rcp":
                Unary(TakeRounding() switch
                {
                    RoundingMode.Nearest => Vector1<Reciprocal>(flush, saturate: false),
                    RoundingMode.Zero => Scalar1<ReciprocalRounded<Rounding.TowardsZero>>(flush),
                    RoundingMode.Down => Scalar1<ReciprocalRounded<Rounding.Downwards>>(flush),
                    _ => Scalar1<ReciprocalRounded<Rounding.Upwards>>(flush),
                }, type, type, Work.Transcendental, approximate ? 1 : 2);
                break;
            case "sqrt":
                Unary(TakeRounding() switch
                {
                    RoundingMode.Nearest => Vector1<SquareRoot>(flush, saturate: false),
                    RoundingMode.Zero => Scalar1<SquareRootRounded<Rounding.TowardsZero>>(flush),
                    RoundingMode.Down => Scalar1<SquareRootRounded<Rounding.Downwards>>(flush),
                    _ => Scalar1<SquareRootRounded<Rounding.Upwards>>(flush),
                }, type, type, Work.Transcendental, approximate ? 1 : 2);
                break;
            case "rsqrt" when approximate:
                Unary(Vector1<ReciprocalSquareRoot>(flush, saturate: false), type, type, Work.Transcendental);
                break;
            case "ex2" when approximate:
                Unary(Vector1<Exponential2>(flush, saturate: false), type, type, Work.Transcendental);
                break;
            case "lg2" when approximate:
                Unary(Vector1<Logarithm2>(flush, saturate: false), type, type, Work.Transcendental);
                break;
            case "sin" when approximate:
                Unary(Scalar1<Sine>(flush), type, type, Work.Transcendental);
                break;
            case "cos" when approximate:
                Unary(Scalar1<Cosine>(flush), type, type, Work.Transcendental);
                break;
            case "tanh" when approximate:
                Unary(Scalar1<HyperbolicTangent>(flush), type, type, Work.Transcendental);
                break;
            default:
                break;
        }
    }
}
