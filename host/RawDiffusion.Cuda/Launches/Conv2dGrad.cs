using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>
/// The gradient of a convolution's input: a convolution of dy with flipped taps and exchanged channels. Where the stride
/// is 2, dy is read with zeros between its pixels.
/// </summary>
internal sealed class Conv2dGradInputLaunch : OperatorLaunch<Conv2dGradInput>
{
    protected override void Prepare(Node node, Conv2dGradInput op, LaunchContext context) =>
        new ConvForward(node, node.Input(Conv2dGradInput.Dy), node.Input(Conv2dGradInput.Weight), 1,
            node.Input(Conv2dGradInput.Weight).Shape[1] - 1 - op.Padding)
        {
            Transpose = true,
            Spread = op.Stride == 2 ? ConvSpread.Zeros : ConvSpread.None,
        }.Launch(context);
}

/// <summary>The gradient of a convolution's weights: partial sums over parts of the pixels, then their sum.</summary>
internal sealed class Conv2dGradWeightLaunch : OperatorLaunch<Conv2dGradWeight>
{
    private const int Block = 256, TileO = 64;

    protected override void Prepare(Node node, Conv2dGradWeight op, LaunchContext context)
    {
        Value x = node.Input(Conv2dGradWeight.X), dy = node.Input(Conv2dGradWeight.Dy);
        Shape output = node.Output.Shape;
        if (output.Count == 0) return;
        (int n, int c, int outHeight, int outWidth) = (x.Shape[0], x.Shape[3], dy.Shape[1], dy.Shape[2]);
        string compute = ConvForward.Compute(context.Precision);
        int elementBytes = compute is "bf16" or "f16" ? 2 : 4;
        (int tileH, int tileW) = outHeight == 1 ? (1, 64) : (8, 8);
        int vector = ConvForward.Vector(8, c);
        // Channels that are read one by one take registers that the sums of a second 16 of them would need.
        int units = op.Kernel == 1 && elementBytes == 2 && c > 32 ? 8 : c * elementBytes <= 32 || vector == 1 ? 2 : 4;
        // Warps over output channels: all of them where a chunk has no second 16 input channels.
        int chunk = 16 * units / elementBytes, warpsO = chunk > 16 ? 2 : 4;
        if (chunk < 16) (units, chunk) = (4, 16);
        int tapRows = op.Kernel <= 3 ? op.Kernel : 1;
        int tiles = n * ConvTile.Ceiling(outHeight, tileH) * ConvTile.Ceiling(outWidth, tileW);
        var grid = new Dim3(ConvTile.Ceiling(c, chunk), ConvTile.Ceiling(output[0], TileO) * (op.Kernel / tapRows));
        // Two blocks for each multiprocessor; a part of at least four tiles. No pixels: one part, which stores zeros.
        int parts = Math.Clamp(ConvTile.Ceiling(2 * context.Device.Multiprocessors, (int)grid.Count), 1, Math.Max(1, tiles / 4));
        DeviceRange partial = parts == 1 ? context.Memory(node.Output) : context.Scratch(4L * parts * output.Count);
        int pitch = 16 * (units + 1), gradientPitch = TileO * elementBytes + 16;
        int patch = ((tileH - 1) * op.Stride + op.Kernel) * ((tileW - 1) * op.Stride + op.Kernel);

        context.Kernel("conv2d.cu", "conv2d_grad_weight")
            .Define("COMPUTE_T", compute).Type("X_T", context.StorageOf(x)).Type("DY_T", context.StorageOf(dy))
            .Define("KERNEL_SIZE", op.Kernel).Define("STRIDE", op.Stride).Define("TAP_ROWS", tapRows)
            .Define("TILE_H", tileH).Define("TILE_W", tileW).Define("TILE_O", TileO).Define("WARPS_O", warpsO).Define("UNITS", units)
            .Define("VECTOR", vector).Define("DY_VECTOR", ConvForward.Vector(8, output[0]))
            .Read(x).Read(dy).Write(partial)
            .Extent("N", n).Extent("H", x.Shape[1]).Extent("W", x.Shape[2]).Extent("C", c)
            .Extent("OH", outHeight).Extent("OW", outWidth).Extent("O", output[0]).Extent("PADDING", op.Padding)
            .Launch(grid with { Z = parts }, 128, 2 * (patch * pitch + tileH * tileW * gradientPitch));
        if (parts == 1) return;
        int count = Elementwise.Count(node.Output), sumVector = ConvForward.Vector(4, count);
        context.Kernel("conv2d.cu", "conv2d_grad_weight_sum")
            .Define("VECTOR", sumVector).Read(partial).Write(node.Output).Extent("COUNT", count).Extent("PARTS", parts)
            .Launch(ConvTile.Ceiling(count, Block * sumVector), Block);
    }
}
