using RawDiffusion.Cuda.Emulator.Execution.Instructions;
using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Matrices, warp-wide instructions and control.</summary>
internal sealed unsafe partial class Decoder
{
    private void Matrix()
    {
        if (!Take("sync")) return;

        Take("aligned");
        if (instruction.Opcode == "ldmatrix")
        {
            LoadMatrix();
            return;
        }

        string shape = TakeOne("m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32");
        if (!Take("row") || !Take("col") || types.Count != 4 || instruction.Operands.Count != 4) return;

        (PtxType result, PtxType a, PtxType b, PtxType accumulator) = (types[0], types[1], types[2], types[3]);
        int k = int.Parse(shape.AsSpan(shape.IndexOf('k') + 1), System.Globalization.CultureInfo.InvariantCulture);
        bool halfAccumulator = result is { Kind: PtxKind.Float, Bits: 16 };
        bool integers = a.Bits == 8;

        // Words of four lanes' k: two 16-bit elements, four bytes or one float each.
        int perStep = integers ? 16 : a.Bits == 16 ? 8 : 4;
        op.X = k / perStep;
        bool known = result == accumulator && (integers
            ? result == new PtxType(PtxKind.Signed, 32) && b.Bits == 8 && k is 16 or 32
            : a == b && (a.Bits == 16 ? k is 8 or 16 : a.Kind == PtxKind.TensorFloat && k is 4 or 8)
                && (result is { Kind: PtxKind.Float, Bits: 32 } || (halfAccumulator && a is { Kind: PtxKind.Float, Bits: 16 })));
        if (!known) return;

        op.Y = integers ? (a.IsSigned ? 1 : 0) | (b.IsSigned ? 2 : 0) | (Take("satfinite") ? 4 : 0) : halfAccumulator ? 1 : 0;
        int accumulators = halfAccumulator ? 2 : 4;
        int[] counts = [accumulators, 2 * op.X, op.X, accumulators];
        var offsets = new List<int>();
        for (int i = 0; i < 4; i++)
        {
            IReadOnlyList<PtxOperand> elements = Operand(i).Kind == OperandKind.Vector ? Operand(i).Elements : [Operand(i)];
            if (elements.Count != counts[i])
            {
                throw Error($"operand {i} of '{instruction}' needs {counts[i]} registers and has {elements.Count}");
            }

            offsets.AddRange(elements.Select(e => Source(e, Bits32)));
        }

        op.List = List(offsets);
        op.Immediate = 2L * 16 * 8 * k;
        Emit(
            integers ? &MatrixInstructions.MultiplyIntegers
            : a.Kind == PtxKind.BFloat ? &MatrixInstructions.Multiply<MatrixInstructions.BFloat>
            : a.Kind == PtxKind.TensorFloat ? &MatrixInstructions.Multiply<MatrixInstructions.TensorFloat>
            : &MatrixInstructions.Multiply<MatrixInstructions.HalfFloat>,
            Writes.Itself, Work.Matrix);
    }

    private void LoadMatrix()
    {
        if (!Take("m8n8") || Type.Bits != 16) return;

        string count = TakeOne("x1", "x2", "x4");
        op.Y = Take("trans") ? 1 : 0;
        TakeAll("shared", "shared::cta");
        Address(Operand(1));
        op.X = count[1] - '0';
        IReadOnlyList<PtxOperand> elements = Operand(0).Kind == OperandKind.Vector ? Operand(0).Elements : [Operand(0)];
        if (elements.Count != op.X)
        {
            throw Error($"'{instruction}' needs {op.X} registers and has {elements.Count}");
        }

        op.List = List([.. elements.Select(e => Source(e, Bits32))]);
        Emit(&MatrixInstructions.LoadMatrix, Writes.Itself, Work.Memory);
    }

    private void WarpWide()
    {
        switch (instruction.Opcode)
        {
            case "activemask":
                op.Destination = Destination(0, Bits32);
                Emit(&WarpInstructions.ActiveMask, Writes.Itself, Work.Other);
                break;
            case "membar":
                string level = TakeOne("gl", "cta", "sys");
                Emit(level == "cta" ? &WarpInstructions.Nothing : &WarpInstructions.Fence, Writes.Itself, Work.Other);
                break;
            case "fence":
                TakeAll("sc", "acq_rel");
                string scope = TakeOne("gpu", "cta", "sys");
                Emit(scope == "cta" ? &WarpInstructions.Nothing : &WarpInstructions.Fence, Writes.Itself, Work.Other);
                break;
            case "shfl" when Take("sync"):
                op.Y = TakeOne("up", "down", "bfly", "idx") switch
                {
                    "up" => WarpInstructions.Up,
                    "down" => WarpInstructions.Down,
                    "bfly" => WarpInstructions.Butterfly,
                    _ => WarpInstructions.Index
                };
                op.Destination = Destination(0, Bits32);
                op.Second = SecondPredicate(Operand(0));
                op.A = Source(1, Bits32);
                op.B = Source(2, Bits32);
                op.C = Source(3, Bits32);
                op.X = Source(4, Bits32);
                Emit(&WarpInstructions.Shuffle, Writes.Itself, Work.Other);
                break;
            case "vote" when Take("sync"):
                op.Y = TakeOne("all", "any", "uni", "ballot") switch
                {
                    "all" => WarpInstructions.All,
                    "any" => WarpInstructions.Any,
                    "uni" => WarpInstructions.Uniform,
                    _ => WarpInstructions.Ballot
                };
                op.Destination = Register(Operand(0).Name);
                op.A = Predicate(Operand(1), out op.Z);
                op.X = Source(2, Bits32);
                Emit(&WarpInstructions.Vote, Writes.Itself, Work.Other);
                break;
            case "match" when Take("sync"):
                op.Y = TakeOne("any", "all") == "all" ? 1 : 0;
                op.Destination = Destination(0, Bits32);
                op.Second = SecondPredicate(Operand(0));
                op.A = Source(1, Type);
                op.C = Width(Type);
                op.X = Source(2, Bits32);
                Emit(&WarpInstructions.Match, Writes.Itself, Work.Other);
                break;
            case "redux" when Take("sync"):
                op.Y = (TakeOne("add", "min", "max", "and", "or", "xor"), Type.IsSigned) switch
                {
                    ("add", _) => WarpInstructions.ReduceAdd,
                    ("min", true) => WarpInstructions.ReduceMinSigned,
                    ("max", true) => WarpInstructions.ReduceMaxSigned,
                    ("min", _) => WarpInstructions.ReduceMinUnsigned,
                    ("max", _) => WarpInstructions.ReduceMaxUnsigned,
                    ("and", _) => WarpInstructions.ReduceAnd,
                    ("or", _) => WarpInstructions.ReduceOr,
                    _ => WarpInstructions.ReduceXor,
                };
                op.Destination = Destination(0, Bits32);
                op.A = Source(1, Bits32);
                op.X = Source(2, Bits32);
                Emit(&WarpInstructions.Reduce, Writes.Itself, Work.Other);
                break;
            default:
                break;
        }
    }

    private void Control()
    {
        if (instruction.Opcode is "bar" or "barrier")
        {
            Barrier();
            return;
        }

        Take("uni");
        Emit(&WarpInstructions.Nothing, Writes.Itself, Work.Control);
    }

    private void Barrier()
    {
        if (Take("warp"))
        {
            Take("sync");
            op.X = Source(0, Bits32);
            Emit(&WarpInstructions.SyncWarp, Writes.Itself, Work.Control);
            return;
        }

        Take("cta");

        // bar is barrier.aligned: all threads of a warp must execute it together.
        op.Y = Take("aligned") || instruction.Opcode == "bar" ? 1 : 0;
        if (Take("red"))
        {
            string what = TakeOne("and", "or", "popc");
            op.X = (int)(what == "and" ? BarrierKind.ReduceAnd : what == "or" ? BarrierKind.ReduceOr : BarrierKind.ReducePopulation);
            op.Destination = Register(Operand(0).Name);
            op.A = Source(1, Bits32);
            bool counted = instruction.Operands.Count > 3;
            op.B = counted ? Source(2, Bits32) : Operation.NoGuard;
            op.C = Predicate(Operand(counted ? 3 : 2), out op.Z);
        }
        else
        {
            op.X = (int)(TakeOne("sync", "arrive") == "sync" ? BarrierKind.Sync : BarrierKind.Arrive);
            op.A = Source(0, Bits32);
            op.B = instruction.Operands.Count > 1 ? Source(1, Bits32) : Operation.NoGuard;
        }

        Emit(&WarpInstructions.Nothing, Writes.Itself, Work.Control);
    }
}
