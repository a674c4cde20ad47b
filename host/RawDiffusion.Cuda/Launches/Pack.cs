using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/pack.cu</c>: one for all inputs that were not computed in their places; often none.</summary>
internal sealed class PackLaunch : OperatorLaunch<Pack>
{
    // Elements of one block.
    private const long Part = 4096;

    protected override void Prepare(Node node, Pack op, LaunchContext context)
    {
        DeviceRange all = context.Memory(node.Output);
        var moves = new List<(DeviceRange Source, DeviceRange Destination)>();
        foreach ((Parameter parameter, Value? value) in op.Layout.Parameters.Zip(node.Inputs))
        {
            DeviceRange source = context.Memory(value!), destination = all.Slice(4 * parameter.Offset, source.Bytes);
            if (source != destination) moves.Add((source, destination));
        }
        Add(context, Storage.F32, moves);
    }

    /// <summary>Adds a launch that copies a value of float32 to another's memory; none where they share it.</summary>
    public static void Move(LaunchContext context, Value from, Value to)
    {
        (DeviceRange source, DeviceRange destination) = (context.Memory(from), context.Memory(to));
        if (source != destination) Add(context, Storage.F32, [(source, destination)]);
    }

    /// <summary>Adds a launch that copies tensors, on any boundaries.</summary>
    public static void Add(LaunchContext context, Storage storage, IReadOnlyList<(DeviceRange Source, DeviceRange Destination)> moves)
    {
        int bytes = StoragePolicy.ElementBytes(storage);
        var table = new List<ulong>();
        foreach ((DeviceRange source, DeviceRange destination) in moves)
        {
            long count = source.Bytes / bytes;
            for (long first = 0; first < count; first += Part)
            {
                table.AddRange([source.Address + (ulong)(first * bytes), destination.Address + (ulong)(first * bytes),
                    (ulong)Math.Min(Part, count - first)]);
            }
        }
        LaunchBuilder launch = context.Kernel("pack.cu", "pack_forward").Type("X_T", storage).Read(context.Upload<ulong>([.. table]));
        foreach ((DeviceRange source, DeviceRange destination) in moves) launch.AlsoReads(source).AlsoWrites(destination);
        launch.Launch(table.Count / 3, Elementwise.Block);
    }
}
