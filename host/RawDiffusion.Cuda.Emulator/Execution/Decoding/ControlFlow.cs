using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Which registers an instruction reads and writes, and how it directs control.</summary>
internal static class ControlFlow
{
    private static readonly HashSet<string> WithoutResult =
    [
        "st", "red", "bra", "cp", "prefetch", "prefetchu", "membar", "fence", "ret", "exit", "trap", "brkpt", "nanosleep", "discard", "bar",
            "barrier", "applypriority",
    ];

    /// <summary>Ends a basic block.</summary>
    public static bool EndsBlock(PtxInstruction instruction) => instruction.Opcode switch
    {
        "bra" or "ret" or "exit" or "trap" or "brkpt" or "nanosleep" => true,
        "bar" or "barrier" => !instruction.Modifiers.Contains("warp"),
        _ => false,
    };

    private static bool HasResult(PtxInstruction instruction) =>
        !WithoutResult.Contains(instruction.Opcode) || (instruction.Opcode is "bar" or "barrier" && instruction.Modifiers.Contains("red"));

    public static IEnumerable<string> Written(PtxInstruction instruction) =>
        HasResult(instruction) && instruction.Operands.Count > 0 ? Names(instruction.Operands[0]) : [];

    public static IEnumerable<string> Read(PtxInstruction instruction)
    {
        foreach (PtxOperand? operand in instruction.Operands.Skip(HasResult(instruction) ? 1 : 0))
        {
            foreach (string name in Names(operand)) yield return name;
        }

        if (instruction.Guard is not null) yield return instruction.Guard;
    }

    private static IEnumerable<string> Names(PtxOperand operand)
    {
        if (operand.Kind == OperandKind.Register) yield return operand.Name;

        foreach (PtxOperand element in operand.Elements)
        {
            foreach (string name in Names(element)) yield return name;
        }

        if (operand.Pair is not null)
        {
            foreach (string name in Names(operand.Pair)) yield return name;
        }
    }

    /// <summary>First and one-past-last instruction of each basic block; an instruction that ends one is its last.</summary>
    public static List<(int First, int End)> Blocks(IReadOnlyList<PtxInstruction> instructions, IReadOnlyDictionary<string, int> labels)
    {
        var starts = new SortedSet<int> { 0 };
        foreach (int label in labels.Values) starts.Add(label);

        for (int i = 0; i < instructions.Count; i++)
        {
            if (EndsBlock(instructions[i])) starts.Add(i + 1);
        }

        starts.Remove(instructions.Count);
        var blocks = new List<(int, int)>();
        int[] order = [.. starts];
        for (int i = 0; i < order.Length; i++)
        {
            blocks.Add((order[i], i + 1 < order.Length ? order[i + 1] : instructions.Count));
        }

        return blocks;
    }

    /// <summary>The basic blocks that may follow one.</summary>
    public static IEnumerable<int> Successors(
        IReadOnlyList<PtxInstruction> instructions, List<(
            int First, int End)> blocks, int block, IReadOnlyDictionary<string, int> labels, Dictionary<int, int> blockAt)
    {
        PtxInstruction last = instructions[blocks[block].End - 1];
        bool goesOn = true;
        if (last.Opcode == "bra")
        {
            yield return blockAt[labels[last.Operands[0].Name]];
            goesOn = last.Guard is not null;
        }
        else if (last.Opcode is "ret" or "exit")
        {
            goesOn = last.Guard is not null;
        }

        if (goesOn && block + 1 < blocks.Count) yield return block + 1;
    }
}
