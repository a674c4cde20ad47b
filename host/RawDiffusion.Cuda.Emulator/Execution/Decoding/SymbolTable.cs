using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>Where the variables that a kernel names lie in their spaces.</summary>
internal sealed class SymbolTable
{
    private readonly Dictionary<string, (PtxVariable Variable, long Address)> symbols = [];

    /// <summary>Lays out the variables of a kernel.</summary>
    /// <param name="module">Module-level variables.</param>
    /// <param name="globals">Addresses of the module's .global and .const variables.</param>
    /// <param name="kernel">The kernel, for its parameters.</param>
    /// <param name="code">Its instructions and variables.</param>
    public SymbolTable(PtxModule module, IReadOnlyDictionary<string, ulong> globals, PtxFunction kernel, Inliner code)
    {
        var named = code.Instructions.SelectMany(i => i.Operands).SelectMany(Names).ToHashSet();
        foreach (PtxVariable parameter in kernel.Parameters)
        {
            ParameterBytes = (int)Align(ParameterBytes, parameter.Alignment);
            symbols[parameter.Name] = (parameter, ParameterBytes);
            ParameterBytes += (int)parameter.Bytes;
        }

        foreach (PtxVariable? variable in code.Variables.Concat(module.Variables).Where(v => !v.External))
        {
            if (globals.TryGetValue(variable.Name, out ulong address) && variable.Space is StateSpace.Global or StateSpace.Constant)
            {
                symbols[variable.Name] = (variable, (long)address);
            }
            else if (variable.Space == StateSpace.Shared)
            {
                if (named.Contains(variable.Name))
                {
                    SharedBytes = (int)Align(SharedBytes, variable.Alignment);
                    symbols[variable.Name] = (variable, SharedBytes);
                    SharedBytes += (int)variable.Bytes;
                }
            }
            else
            {
                LocalBytes = (int)Align(LocalBytes, variable.Alignment);
                symbols[variable.Name] = (variable, LocalBytes);
                LocalBytes += (int)variable.Bytes;
            }
        }

        LocalBytes = (int)Align(LocalBytes, 16);

        // Dynamic shared memory follows the static one; all its names mean the same place.
        var dynamic = module.Variables.Where(v => v.External && v.Space == StateSpace.Shared && named.Contains(v.Name)).ToList();
        if (dynamic.Count > 0)
        {
            SharedBytes = (int)Align(SharedBytes, dynamic.Max(v => v.Alignment));
            foreach (PtxVariable? variable in dynamic) symbols[variable.Name] = (variable, SharedBytes);
        }
    }

    public int ParameterBytes { get; }

    public int SharedBytes { get; }

    public int LocalBytes { get; }

    /// <summary>Address of a variable in its own space (globals: generic).</summary>
    public long Address(string name, PtxInstruction user) => Find(name, user).Address;

    public StateSpace Space(string name, PtxInstruction user) => Find(name, user).Variable.Space;

    private (PtxVariable Variable, long Address) Find(string name, PtxInstruction user) =>
        symbols.TryGetValue(name, out (PtxVariable Variable, long Address) found) ? found
        : throw new PtxException(user.PtxLine, $"'{user}' names {name}, which this module does not define");

    private static IEnumerable<string> Names(PtxOperand operand) =>
        operand.Elements.SelectMany(Names).Concat(operand.Kind is OperandKind.Symbol or OperandKind.Address ? [operand.Name] : []);

    private static long Align(long value, int alignment) => (value + alignment - 1) / alignment * alignment;
}
