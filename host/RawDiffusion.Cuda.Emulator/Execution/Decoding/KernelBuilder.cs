using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Makes an executable kernel of a parsed one.</summary>
internal static class KernelBuilder
{
    public static KernelCode Build(PtxModule module, PtxFunction kernel, IReadOnlyDictionary<string, ulong> globals)
    {
        var code = Inliner.Expand(module, kernel);
        List<PtxInstruction> instructions = code.Instructions;
        if (instructions.Count == 0 || instructions[^1].Guard is not null
            || instructions[^1].Opcode is not ("ret" or "exit" or "bra" or "trap"))
        {
            PtxInstruction? last = instructions.Count > 0 ? instructions[^1] : null;
            instructions.Add(new(null, false, "exit", [], [], last?.Location ?? new("", 0), last?.PtxLine ?? 0));
        }

        List<(int First, int End)> ranges = ControlFlow.Blocks(instructions, code.Labels);
        var registers = RegisterAllocation.Allocate(instructions, ranges, code.Labels, code.Registers);
        var symbols = new SymbolTable(module, globals, kernel, code);
        var constants = new ConstantPool(Align(registers.Bytes));
        var decoder = new Decoder(code.Registers, registers, constants, symbols, kernel.Parameters.Select(p => p.Name).ToHashSet());

        var operations = new List<Operation>(instructions.Count);
        for (int i = 0; i < instructions.Count; i++) operations.Add(decoder.Decode(instructions[i], i));

        var result = new KernelCode
        {
            Name = kernel.Name,
            RegisterBytes = Align(constants.RegisterBytes),
            ConstantBytes = Align(constants.Bytes),
            Constants = constants.Constants,
            ParameterSlots = constants.Parameters,
            LaunchSpecials = constants.LaunchSpecials,
            ThreadSpecials = constants.ThreadSpecials,
            StaticSharedBytes = symbols.SharedBytes,
            LocalBytes = symbols.LocalBytes,
            ParameterBytes = symbols.ParameterBytes,
            Locations = [.. instructions.Select(i => i.Location)],
            Mnemonics = [.. instructions.Select(i => i.ToString())],
            MaxThreads = kernel.MaxThreads,
            RequiredThreads = kernel.RequiredThreads,
            Lists = decoder.Lists,
        };
        result.SetCode(operations, Blocks(instructions, ranges, code.Labels, operations));
        return result;
    }

    private static int Align(int bytes) => (bytes + 63) & ~63;

    private static List<BasicBlock> Blocks(
        List<PtxInstruction> instructions, List<(int First, int End)> ranges, Dictionary<string, int> labels, List<Operation> operations)
    {
        var blockAt = ranges.Select((r, i) => (r.First, i)).ToDictionary(r => r.First, r => r.i);
        var blocks = new List<BasicBlock>(ranges.Count);
        int[][] successors = [.. ranges.Select((_, i) => ControlFlow.Successors(instructions, ranges, i, labels, blockAt).ToArray())];
        int[] order = BlockOrder.Of(successors);
        int[] place = new int[order.Length];
        for (int i = 0; i < order.Length; i++) place[order[i]] = i;

        foreach (int block in order)
        {
            (int first, int end) = ranges[block];
            PtxInstruction last = instructions[end - 1];
            bool control = ControlFlow.EndsBlock(last);
            blocks.Add(new BasicBlock
            {
                First = first,
                End = control ? end - 1 : end,
                ExitIndex = end - 1,
                Guard = control ? operations[end - 1].Guard : Operation.NoGuard,
                GuardFlip = operations[end - 1].GuardFlip,
                Target = last.Opcode == "bra" ? place[blockAt[labels[last.Operands[0].Name]]] : 0,
                Next = block + 1 < place.Length ? place[block + 1] : 0,
                Exit = !control ? BlockExit.FallThrough : last.Opcode switch
                {
                    "bra" => BlockExit.Branch,
                    "ret" or "exit" => BlockExit.Exit,
                    "bar" or "barrier" => BlockExit.Barrier,
                    "nanosleep" => BlockExit.Yield,
                    _ => BlockExit.Trap,
                },
            });
        }

        return blocks;
    }
}
