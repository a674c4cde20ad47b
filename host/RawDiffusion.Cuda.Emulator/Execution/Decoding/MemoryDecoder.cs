using RawDiffusion.Cuda.Emulator.Execution.Instructions;
using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Memory accesses, atomics and asynchronous copies.</summary>
internal sealed unsafe partial class Decoder
{
    private static readonly string[] Synchronizing = ["volatile", "relaxed", "acquire", "release", "acq_rel"];

    private StateSpace TakeSpace()
    {
        // .shared::cta and .shared are the same before clusters exist.
        foreach ((string name, StateSpace space) in new[]
        {
            ("global", StateSpace.Global), ("shared", StateSpace.Shared), ("shared::cta", StateSpace.Shared), ("local", StateSpace.Local), (
                "const", StateSpace.Constant), ("param", StateSpace.Parameter),
        })
        {
            if (Take(name)) return space;
        }

        return StateSpace.Generic;
    }

    private bool TakeSynchronizing()
    {
        bool any = false;
        foreach (string word in Synchronizing) any |= Take(word);

        TakeAll("gpu", "cta", "sys", "weak");
        return any;
    }

    private void TakeCacheHints()
    {
        TakeAll("ca", "cg", "cs", "lu", "cv", "wb", "wt");
        modifiers.RemoveAll(m => m.StartsWith("L1::", StringComparison.Ordinal) || m.StartsWith("L2::", StringComparison.Ordinal));
    }

    /// <summary>The address operand: where it lies, bytes per lane, offset.</summary>
    private void Address(PtxOperand operand)
    {
        if (operand.Kind != OperandKind.Address) throw Error($"'{instruction}' needs an address in brackets");

        PtxOperand inner = operand.Elements[0];
        op.Immediate = operand.Value;
        if (inner.Kind == OperandKind.Register)
        {
            op.A = Register(inner.Name);
            op.C = Width(registers[inner.Name]);
        }
        else
        {
            op.A = inner.Kind == OperandKind.Integer ? constants.Value(0, 8)
                : constants.Value(symbols.Address(inner.Name, instruction) + inner.Value, 8);
            op.C = 8;
        }
    }

    private void Memory()
    {
        if (instruction.Opcode is "prefetch" or "prefetchu" or "applypriority" or "discard")
        {
            TakeSpace();
            TakeAll("L1", "L2");
            TakeCacheHints();
            Emit(&WarpInstructions.Nothing, Writes.Itself, Work.Other);
            return;
        }

        bool store = instruction.Opcode == "st";
        StateSpace space = TakeSpace();
        bool synchronizing = TakeSynchronizing(), incoherent = Take("nc");
        TakeCacheHints();
        op.Y = Take("v2") ? 2 : Take("v4") ? 4 : 1;
        op.X = Type.Bytes;
        PtxOperand address = Operand(store ? 0 : 1);
        PtxOperand value = Operand(store ? 1 : 0);
        IReadOnlyList<PtxOperand> elements = op.Y == 1 && value.Kind != OperandKind.Vector ? [value] : value.Elements;
        if (elements.Count != op.Y) throw Error($"'{instruction}' needs {op.Y} elements");

        Address(address);
        PtxOperand inner = address.Elements[0];
        if (space == StateSpace.Parameter && inner.Kind == OperandKind.Symbol)
        {
            // Parameters of calls are the caller's local variables.
            bool kernelParameter = parameters.Contains(inner.Name);
            if (kernelParameter && !store)
            {
                LoadParameters(elements, (int)symbols.Address(inner.Name, instruction) + (int)address.Value);
                return;
            }

            space = StateSpace.Local;
        }

        bool wide = elements.Any(e => RegisterWidth(e, Type) == 8);
        op.Z = (Type.IsSigned ? MemoryAccess.Signed : 0) | (wide ? MemoryAccess.Wide : 0)
            | (synchronizing ? MemoryAccess.Synchronizing : 0) | (incoherent ? MemoryAccess.Incoherent : 0)
            | (space == StateSpace.Constant ? MemoryAccess.Uncounted : 0);
        op.List = List([.. elements.Select(e => store
            ? Source(e, wide ? Bits64 : Bits32)
            : e.Kind == OperandKind.Sink ? constants.Sink8 : Register(e.Name))]);
        Emit((space, store) switch
        {
            (StateSpace.Global or StateSpace.Constant, false) => &GlobalMemoryInstructions.Load,
            (StateSpace.Global, true) => &GlobalMemoryInstructions.Store,
            (StateSpace.Shared, false) => &SharedMemoryInstructions.Load,
            (StateSpace.Shared, true) => &SharedMemoryInstructions.Store,
            (StateSpace.Local, false) => &LocalMemoryInstructions.Load,
            (StateSpace.Local, true) => &LocalMemoryInstructions.Store,
            (StateSpace.Parameter, false) => &LocalMemoryInstructions.LoadParameter,
            (StateSpace.Generic, false) => &MemoryAccess.LoadGeneric,
            (StateSpace.Generic, true) => &MemoryAccess.StoreGeneric,
            _ => throw Unknown(),
        }, Writes.Itself, Work.Memory);
    }

    /// <summary>Kernel parameters are constants of the launch: one move per element.</summary>
    private void LoadParameters(IReadOnlyList<PtxOperand> elements, int from)
    {
        if (from < 0 || from + op.X * op.Y > symbols.ParameterBytes)
        {
            throw Error($"'{instruction}' reads beyond the {symbols.ParameterBytes} bytes of parameters");
        }

        var sources = new List<int>();
        var targets = new List<int>();
        bool wide = false;
        for (int i = 0; i < elements.Count; i++)
        {
            if (elements[i].Kind != OperandKind.Sink)
            {
                wide = RegisterWidth(elements[i], Type) == 8;
                sources.Add(constants.Parameter(from + (i * op.X), op.X, Type.IsSigned, wide ? 8 : 4));
                targets.Add(Register(elements[i].Name));
            }
        }

        if (targets.Count == 1)
        {
            op.Destination = targets[0];
            op.A = sources[0];
            Emit(wide ? &MoveInstructions.Move64 : &MoveInstructions.Move32, wide ? Writes.Longs : Writes.Words, Work.Other);
            return;
        }

        op.Y = targets.Count;
        op.X = wide ? 8 : 4;
        op.List = List([.. targets, .. sources]);
        Emit(&MoveInstructions.MoveSeveral, Writes.Itself, Work.Other);
    }

    private void Atomics()
    {
        bool reduction = instruction.Opcode == "red";
        StateSpace space = TakeSpace();
        TakeSynchronizing();
        TakeCacheHints();
        Take("noftz");
        PtxType type = Type;
        string what = TakeOne("add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas");
        AtomicKind? kind = (what, type.Kind, type.Bits, type.Lanes) switch
        {
            ("add", PtxKind.Float, 32, 1) => AtomicKind.AddFloat,
            ("add", PtxKind.Float, 64, 1) => AtomicKind.AddDouble,
            ("add", PtxKind.Float, 16, 1) => AtomicKind.AddHalf,
            ("add", PtxKind.Float, _, 2) => AtomicKind.AddHalf2,
            ("add", PtxKind.BFloat, 16, 1) => AtomicKind.AddBFloat,
            ("add", PtxKind.BFloat, _, 2) => AtomicKind.AddBFloat2,
            ("exch", _, _, _) => AtomicKind.Exchange,
            ("cas", _, _, _) => AtomicKind.CompareExchange,
            (_, PtxKind.Float or PtxKind.BFloat, _, _) => null,
            ("add", _, >= 32, _) => AtomicKind.Add,
            ("min", _, >= 32, _) => type.IsSigned ? AtomicKind.MinSigned : AtomicKind.MinUnsigned,
            ("max", _, >= 32, _) => type.IsSigned ? AtomicKind.MaxSigned : AtomicKind.MaxUnsigned,
            ("inc", _, 32, _) => AtomicKind.Increment,
            ("dec", _, 32, _) => AtomicKind.Decrement,
            ("and", _, >= 32, _) => AtomicKind.And,
            ("or", _, >= 32, _) => AtomicKind.Or,
            ("xor", _, >= 32, _) => AtomicKind.Xor,
            _ => null,
        };
        if (kind is null || space is not (StateSpace.Global or StateSpace.Shared or StateSpace.Generic))
        {
            return;
        }

        int first = reduction ? 0 : 1;
        Address(Operand(first));
        op.X = type.Bytes;
        op.Y = (int)kind;
        bool noResult = reduction || Operand(0).Kind == OperandKind.Sink;
        op.Z = (noResult ? AtomicInstructions.NoResult : 0)
            | (space == StateSpace.Shared ? AtomicInstructions.Shared : space == StateSpace.Generic ? AtomicInstructions.Generic : 0);
        op.Destination = noResult ? 0 : Destination(0, type);
        op.B = Source(first + 1, type);
        if (kind == AtomicKind.CompareExchange) op.List = List([Source(first + 2, type)]);

        Emit(&AtomicInstructions.Atomic, Writes.Itself, Work.Memory);
    }

    private void AsyncCopy()
    {
        if (!Take("async")) return;

        if (Take("commit_group"))
        {
            Emit(&AsyncCopyInstructions.Commit, Writes.Itself, Work.Other);
        }
        else if (Take("wait_all"))
        {
            Emit(&AsyncCopyInstructions.WaitAll, Writes.Itself, Work.Other);
        }
        else if (Take("wait_group"))
        {
            op.Immediate = Operand(0).Value;
            Emit(&AsyncCopyInstructions.WaitGroup, Writes.Itself, Work.Other);
        }
        else if (modifiers.Contains("ca") || modifiers.Contains("cg"))
        {
            bool onlyGlobalCache = Take("cg");
            TakeCacheHints();
            TakeAll("shared", "shared::cta", "global");
            Address(Operand(0));
            op.X = (int)op.Immediate;
            PtxOperand source = Operand(1);
            op.Immediate = source.Value;
            op.B = source.Elements[0].Kind == OperandKind.Register ? Register(source.Elements[0].Name)
                : constants.Value(symbols.Address(source.Elements[0].Name, instruction), 8);
            op.Y = (int)Operand(2).Value;
            if (op.Y is not (4 or 8 or 16) || (onlyGlobalCache && op.Y != 16))
            {
                throw Error($"cp.async copies 4, 8 or 16 bytes, with .cg 16; this one {op.Y}");
            }

            op.Z = instruction.Operands.Count > 3 ? Source(3, Bits32) : Operation.NoGuard;
            Emit(&AsyncCopyInstructions.Copy, Writes.Itself, Work.Memory);
        }
    }
}
