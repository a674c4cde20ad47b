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
        IReadOnlyList<Node> led = context.Led(node);
        Value x = node.Input(Linear.X);
        int rows = x.Shape[0], inputs = x.Shape[1], outputs = led.Sum(n => n.Output.Shape[1]);
        if ((long)rows * outputs == 0) return;
        int tileRows = TileRows(rows), vector = Vector(inputs);
        var tiles = new Driver.Dim3((outputs + TileOut * Warps - 1) / (TileOut * Warps), (rows + tileRows - 1) / tileRows);
        int parts = Parts(tiles.Count * Warps, inputs, 32 * vector);
        // A part of the inputs has a sum of its own for each output, which the last part's block adds.
        DeviceRange partial = parts > 1 ? context.Scratch(4L * parts * rows * outputs) : default;
        DeviceRange counters = parts > 1 ? context.Counters((int)tiles.Count) : default;
        bool bias = led.Any(n => n.Inputs[Linear.Bias] is not null);
        LaunchBuilder launch = context.Kernel("linear.cu", "linear_forward")
            .Type("X_T", context.StorageOf(x))
            .Define("VECTOR", vector).Define("TILE_ROWS", tileRows).Define("SPLIT", parts > 1).Define("GROUP", led.Count > 1)
            .Define("BIAS", bias).Define("ACTIVATION", (int)op.OnStore)
            .Read(x);
        if (led.Count == 1) launch.Read(node.Input(Linear.Weight)).Read(node.Inputs[Linear.Bias]).Write(node.Output);
        else AddGroup(launch, led, bias, context);
        launch.Write(partial).Update(counters).Extent("ROWS", rows).Extent("IN", inputs).Extent("OUT", outputs)
            .Launch(tiles with { Z = parts }, 32 * Warps);
    }

    // The layers' weights one after the other, and where each output of theirs goes.
    private static void AddGroup(LaunchBuilder launch, IReadOnlyList<Node> led, bool bias, LaunchContext context)
    {
        float[] weights = [.. led.SelectMany(n => ValueMemory.ReadConstant(n.Input(Linear.Weight)))];
        float[] biases = [.. led.SelectMany(
            n => n.Inputs[Linear.Bias] is { } b ? ValueMemory.ReadConstant(b) : new float[n.Output.Shape[1]])];
        ulong[] addresses = [.. led.SelectMany(
            n => Enumerable.Range(0, n.Output.Shape[1]).Select(o => context.Memory(n.Output).Address + 4 * (ulong)o))];
        int[] strides = [.. led.SelectMany(n => Enumerable.Repeat(n.Output.Shape[1], n.Output.Shape[1]))];
        launch.Read(context.Upload<float>(weights)).Read(bias ? context.Upload<float>(biases) : default)
            .Read(context.Upload<ulong>(addresses)).Read(context.Upload<int>(strides));
        foreach (Node node in led) launch.AlsoWrites(context.Memory(node.Output));
    }

    /// <summary>Rows of x that share one read of the weights.</summary>
    internal static int TileRows(int rows) => rows switch { 1 => 1, 2 => 2, <= 4 => 4, _ => 8 };

    /// <summary>Neighbours that a lane reads at once along a dimension.</summary>
    internal static int Vector(int extent) => extent % 4 == 0 ? 4 : 1;

    // As many parts as there are warps missing, each of at least four steps.
    private static int Parts(long warps, int inputs, int step) =>
        (int)Math.Clamp(FillingWarps / warps, 1, Math.Max(1, inputs / (4 * step)));
}
