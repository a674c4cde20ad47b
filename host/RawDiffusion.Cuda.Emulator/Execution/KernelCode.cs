using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Execution;

/// <summary>Special registers whose value differs by block or launch and not by thread.</summary>
internal enum LaunchSpecial
{
    BlockX,
    BlockY,
    BlockZ,
    GridX,
    GridY,
    GridZ,
    ThreadsX,
    ThreadsY,
    ThreadsZ,
    DynamicSharedBytes,
    TotalSharedBytes,
    MultiprocessorCount,
}

/// <summary>Special registers that differ by thread.</summary>
internal enum ThreadSpecial
{
    X,
    Y,
    Z,
    Lane,
    Warp,
    MaskEqual,
    MaskLess,
    MaskLessEqual,
    MaskGreater,
    MaskGreaterEqual,
}

/// <summary>A kernel ready to execute.</summary>
internal sealed unsafe class KernelCode : IDisposable
{
    public required string Name { get; init; }

    public Operation* Operations { get; private set; }

    public int OperationCount { get; private set; }

    public BasicBlock* Blocks { get; private set; }

    public int BlockCount { get; private set; }

    public required int RegisterBytes { get; init; }

    public required int ConstantBytes { get; init; }

    /// <summary>Constants: offset from the end of the constants, value, bytes per lane.</summary>
    public required IReadOnlyList<(int Offset, long Value, int Width)> Constants { get; init; }

    /// <summary>Parameters: offset of the slot, offset in the parameters, bytes in the parameters, signed, bytes per lane.</summary>
    public required IReadOnlyList<(int Offset, int From, int Bytes, bool Signed, int Width)> ParameterSlots { get; init; }

    public required IReadOnlyList<(int Offset, LaunchSpecial Special)> LaunchSpecials { get; init; }

    public required IReadOnlyList<(int Offset, ThreadSpecial Special)> ThreadSpecials { get; init; }

    public required int StaticSharedBytes { get; init; }

    public required int LocalBytes { get; init; }

    public required int ParameterBytes { get; init; }

    public required SourceLocation[] Locations { get; init; }

    /// <summary>Mnemonics by operation index.</summary>
    public required string[] Mnemonics { get; init; }

    public required int MaxThreads { get; init; }

    public required (int X, int Y, int Z)? RequiredThreads { get; init; }

    /// <summary>Native memory that operations point into.</summary>
    public required List<nint> Lists { get; init; }

    public void SetCode(List<Operation> operations, List<BasicBlock> blocks)
    {
        Operations = (Operation*)NativeMemory.AlignedAlloc((nuint)(sizeof(Operation) * Math.Max(1, operations.Count)), 64);
        CollectionsMarshal.AsSpan(operations).CopyTo(new Span<Operation>(Operations, operations.Count));
        OperationCount = operations.Count;
        Blocks = (BasicBlock*)NativeMemory.Alloc((nuint)(sizeof(BasicBlock) * blocks.Count));
        CollectionsMarshal.AsSpan(blocks).CopyTo(new Span<BasicBlock>(Blocks, blocks.Count));
        BlockCount = blocks.Count;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Operations);
        NativeMemory.Free(Blocks);
        foreach (nint list in Lists) NativeMemory.Free((void*)list);

        Operations = null;
        Blocks = null;
        Lists.Clear();
    }
}
