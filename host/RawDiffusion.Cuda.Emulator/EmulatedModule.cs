using RawDiffusion.Cuda.Emulator.Execution;
using RawDiffusion.Cuda.Emulator.Execution.Decoding;
using RawDiffusion.Cuda.Emulator.Memory;
using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator;

/// <summary>A loaded module: its variables in device memory and its kernels, decoded.</summary>
internal sealed unsafe class EmulatedModule : IDisposable
{
    private readonly EmulatedMemory memory;
    private readonly Dictionary<string, ulong> globals = [];

    public EmulatedModule(string text, EmulatedMemory memory)
    {
        this.memory = memory;
        PtxModule module = PtxParser.Parse(text);
        try
        {
            Place(module);
            foreach (PtxFunction? function in module.Functions.Values.Where(f => f.IsEntry))
            {
                Kernels.Add(function.Name, KernelBuilder.Build(module, function, globals));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public Dictionary<string, KernelCode> Kernels { get; } = [];

    public void Dispose()
    {
        foreach (KernelCode kernel in Kernels.Values) kernel.Dispose();

        foreach (ulong address in globals.Values) memory.Near(address)?.Dispose();

        Kernels.Clear();
        globals.Clear();
    }

    private void Place(PtxModule module)
    {
        var placed = module.Variables.Where(v => v.Space is StateSpace.Global or StateSpace.Constant).ToList();
        foreach (PtxVariable? variable in placed)
        {
            if (variable.External)
            {
                throw new PtxException(0, $"{variable.Name} is declared extern: modules are not linked here");
            }

            globals.Add(variable.Name, memory.Allocate(variable.Bytes, $"variable {variable.Name}"));
        }

        foreach (PtxVariable? variable in placed)
        {
            Allocation allocation = memory.Near(globals[variable.Name])!;
            var data = new Span<byte>(allocation.Data, (int)variable.Bytes);
            data.Clear();
            variable.Initial.CopyTo(data);
            new Span<byte>(allocation.Defined, (int)variable.Bytes).Fill(0xFF);
            foreach ((int offset, string symbol, long addend) in variable.Relocations)
            {
                BitConverter.TryWriteBytes(data[offset..], globals[symbol] + (ulong)addend);
            }
        }
    }
}
