using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/linear.cu</c>, forward.</summary>
internal sealed class LinearLaunch : OperatorLaunch<Linear>
{
    private const int TileOut = 4;
    private const int Warps = 4;

    // Warps that keep a large device's memory busy.
    private const int FillingWarps = 2048;

    protected override void Prepare(Node node, Linear op, LaunchContext context)
    {
        Value x = node.Input(0), w = node.Input(1), y = node.Output;
        int rows = x.Shape[0], inputs = x.Shape[1], outputs = w.Shape[0];
        if (y.Shape.Count == 0) return;
        int tileRows = TileRows(rows), vector = Vector(inputs);
        var tiles = new Driver.Dim3((outputs + TileOut * Warps - 1) / (TileOut * Warps), (rows + tileRows - 1) / tileRows);
        int parts = Parts(tiles.Count * Warps, inputs, 32 * vector);
        // A part of the inputs has a sum of its own for each output, which the last part's block adds.
        DeviceRange partial = parts > 1 ? context.Scratch(4L * parts * rows * outputs) : default;
        DeviceRange counters = parts > 1 ? context.Counters((int)tiles.Count) : default;
        context.Kernel("linear.cu", "linear_forward")
            .Type("X_T", context.StorageOf(x))
            .Define("VECTOR", vector).Define("TILE_ROWS", tileRows).Define("SPLIT", parts > 1)
            .Define("BIAS", node.Inputs[2] is not null).Define("ACTIVATION", (int)op.OnStore)
            .Read(x).Read(w).Read(node.Inputs[2]).Write(y).Write(partial).Update(counters)
            .Extent("ROWS", rows).Extent("IN", inputs).Extent("OUT", outputs)
            .Launch(tiles with { Z = parts }, 32 * Warps);
    }

    /// <summary>Rows of x that share one read of the weights.</summary>
    internal static int TileRows(int rows) => rows switch { 1 => 1, 2 => 2, <= 4 => 4, _ => 8 };

    /// <summary>Neighbours that a lane reads at once along a dimension.</summary>
    internal static int Vector(int extent) => extent % 4 == 0 ? 4 : 1;

    // As many parts as there are warps missing, each of at least four steps.
    private static int Parts(long warps, int inputs, int step) =>
        (int)Math.Clamp(FillingWarps / warps, 1, Math.Max(1, inputs / (4 * step)));
}
