namespace RawDiffusion.Cuda.Emulator.Ptx;

/// <summary>
/// A kernel with the functions that it calls pasted in: each call site gets registers, labels and local variables of its
/// own. The parameters of a call are variables of the caller, so the callee's names become theirs.
/// </summary>
internal sealed class Inliner
{
    private const int DeepestCall = 64;
    private readonly PtxModule module;
    private int sites;

    private Inliner(PtxModule module) => this.module = module;

    public List<PtxInstruction> Instructions { get; } = [];

    public Dictionary<string, PtxType> Registers { get; } = [];

    public Dictionary<string, int> Labels { get; } = [];

    public List<PtxVariable> Variables { get; } = [];

    public static Inliner Expand(PtxModule module, PtxFunction kernel)
    {
        var result = new Inliner(module);
        result.Paste(kernel, "", [], null, 0);
        return result;
    }

    private void Paste(PtxFunction function, string suffix, Dictionary<string, string> names, string? returnLabel, int depth)
    {
        foreach ((string name, PtxType type) in function.Registers) Registers[name + suffix] = type;

        foreach (PtxVariable variable in function.Variables)
        {
            // Shared memory of a function exists once per block; everything else once per call.
            string name = variable.Space == StateSpace.Shared ? variable.Name : variable.Name + suffix;
            names[variable.Name] = name;
            if (Variables.All(v => v.Name != name)) Variables.Add(variable with { Name = name });
        }

        ILookup<int, string> starts = function.Labels.ToLookup(l => l.Value, l => l.Key);
        for (int i = 0; i <= function.Instructions.Count; i++)
        {
            foreach (string label in starts[i]) Labels[label + suffix] = Instructions.Count;

            if (i == function.Instructions.Count) break;

            PtxInstruction instruction = Rename(function.Instructions[i], suffix, names);
            if (instruction.Opcode == "call")
            {
                Call(instruction, depth);
            }
            else if (instruction.Opcode == "ret" && returnLabel is not null)
            {
                Instructions.Add(instruction with { Opcode = "bra", Modifiers = [], Operands = [new(OperandKind.Label, returnLabel)] });
            }
            else
            {
                Instructions.Add(instruction);
            }
        }
    }

    private void Call(PtxInstruction call, int depth)
    {
        var names = call.Operands.Where(o => o.Kind == OperandKind.Symbol).ToList();
        if (names.Count != 1 || !module.Functions.TryGetValue(names[0].Name.Split('@')[0], out PtxFunction? callee))
        {
            throw new PtxException(call.PtxLine, $"'{call}' calls {(names.Count == 1 ? names[0].Name : "through a pointer")}, which is not "
                + "a function with a body in this module");
        }

        if (depth == DeepestCall)
        {
            throw new PtxException(call.PtxLine,
                $"{callee.Name} is called recursively, or more than {DeepestCall} calls deep: not known here");
        }

        int at = call.Operands.ToList().FindIndex(o => o.Kind == OperandKind.Symbol);
        IReadOnlyList<PtxOperand> returns = at > 0 ? call.Operands[0].Elements : [];
        IReadOnlyList<PtxOperand> arguments = at + 1 < call.Operands.Count ? call.Operands[at + 1].Elements : [];
        var mapping = new Dictionary<string, string>();
        Map(callee.Returns, returns);
        Map(callee.Parameters, arguments);
        string suffix = $"#{++sites}";
        string end = $"return{suffix}";
        if (call.Guard is not null)
        {
            // Lanes that do not call go straight to the end.
            Instructions.Add(call with
            {
                Opcode = "bra",
                Modifiers = [],
                GuardNegated = !call.GuardNegated,
                Operands = [new(OperandKind.Label, end)]
            });
        }

        Paste(callee, suffix, mapping, end, depth + 1);
        Labels[end] = Instructions.Count;

        void Map(List<PtxVariable> formal, IReadOnlyList<PtxOperand> actual)
        {
            if (formal.Count != actual.Count || actual.Any(a => a.Kind != OperandKind.Symbol))
            {
                throw new PtxException(call.PtxLine, $"the call of {callee.Name} does not fit its parameters");
            }

            for (int i = 0; i < formal.Count; i++) mapping[formal[i].Name] = actual[i].Name;
        }
    }

    private static PtxInstruction Rename(PtxInstruction instruction, string suffix, Dictionary<string, string> names)
    {
        return suffix.Length == 0
            ? instruction
            : instruction with
            {
                Guard = instruction.Guard is null ? null : instruction.Guard + suffix,
                Operands = [.. instruction.Operands.Select(Operand)],
            };

        PtxOperand Operand(PtxOperand operand) => operand with
        {
            Name = operand.Kind switch
            {
                OperandKind.Register or OperandKind.Label => operand.Name + suffix,
                OperandKind.Symbol => names.GetValueOrDefault(operand.Name, operand.Name),
                OperandKind.Address => operand.Elements[0].Kind == OperandKind.Register ? operand.Name + suffix
                : names.GetValueOrDefault(operand.Name, operand.Name),
                _ => operand.Name,
            },
            Elements = [.. operand.Elements.Select(Operand)],
            Pair = operand.Pair is null ? null : Operand(operand.Pair),
        };
    }
}
