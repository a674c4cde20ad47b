using System.Globalization;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Launches;

/// <summary>What a block of <c>conv2d_forward</c> computes, and with how many warps.</summary>
/// <param name="Height">Output pixels of an image, down.</param>
/// <param name="Width">Output pixels, across.</param>
/// <param name="Columns">Output channels.</param>
/// <param name="WarpsM">Warps that share the pixels.</param>
/// <param name="WarpsN">Warps that share the output channels.</param>
/// <param name="WarpsK">Warps that share the depth.</param>
/// <param name="Units">16-byte units of input channels that a chunk has: 2, 4 or 8.</param>
internal readonly record struct ConvTile(int Height, int Width, int Columns, int WarpsM, int WarpsN, int WarpsK, int Units)
{
    /// <summary>Rows of taps whose weights are in shared memory or on their way.</summary>
    public const int Stages = 3;

    public int Pixels => Height * Width;

    /// <summary>Reads what <see cref="ToString"/> writes; null where it is something else.</summary>
    public static ConvTile? Parse(string text)
    {
        int[] numbers = [.. text.Split('x', ' ')
            .Select(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out int n) && n > 0 ? n : 0)];
        return numbers.Length == 7 && !numbers.Contains(0)
            ? new ConvTile(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]) : null;
    }

    /// <summary>Pixels and channels, warps, units: <c>8x16x64 2x2x1 4</c>.</summary>
    public override string ToString() => $"{Height}x{Width}x{Columns} {WarpsM}x{WarpsN}x{WarpsK} {Units}";

    public int Threads => 32 * WarpsM * WarpsN * WarpsK;

    private int Pitch => 16 * (Units + 1);

    /// <summary>Shared memory of a block, laid out as <c>kernels/conv2d.cu</c> does.</summary>
    public int SharedBytes(ConvShape shape)
    {
        int main = Operands(shape.Kernel, shape.Stride)
            + (shape.Affine ? 8 * Chunks(shape.Channels, shape.ElementBytes) * Units * 16 / shape.ElementBytes : 0);
        int skip = shape.SkipChannels > 0 ? Operands(1, 1) : 0;
        int sums = 4 * WarpsK * Pixels * (Columns + 8);
        return Math.Max(Math.Max(main, skip), sums);
    }

    /// <summary>Chunks that so many input channels make.</summary>
    public int Chunks(int channels, int elementBytes) => (channels * elementBytes + 16 * Units - 1) / (16 * Units);

    /// <summary>
    /// Registers of a thread for its sums and for the part of the next chunk that it has loaded, with the places of that.
    /// </summary>
    public int Registers(ConvShape shape)
    {
        return Pixels * Columns * WarpsK / Threads + Staged(shape) * (1 + 16 / shape.ElementBytes * shape.InputBytes / 4);
    }

    /// <summary>Units of a chunk's patch that a thread loads.</summary>
    public int Staged(ConvShape shape) => Ceiling(PatchPixels(shape.Kernel, shape.Stride) * Units, Threads);

    /// <summary>Tiles of an image.</summary>
    public int Tiles(ConvShape shape) => Ceiling(shape.OutHeight, Height) * Ceiling(shape.OutWidth, Width);

    /// <summary>Pixels of the input that the tile needs.</summary>
    public int PatchPixels(int kernel, int stride) => ((Height - 1) * stride + kernel) * ((Width - 1) * stride + kernel);

    public static int Ceiling(int a, int b) => (a + b - 1) / b;

    // Two patches, then the stages.
    private int Operands(int kernel, int stride) => Pitch * (2 * PatchPixels(kernel, stride) + Stages * kernel * Columns);
}

/// <summary>What of a convolution decides its best tile.</summary>
/// <param name="Batch">Images.</param>
/// <param name="OutHeight">Height of the output.</param>
/// <param name="OutWidth">Width of the output.</param>
/// <param name="OutChannels">Channels of the output.</param>
/// <param name="Kernel">Taps in each direction.</param>
/// <param name="Stride">1 or 2.</param>
/// <param name="Channels">Input channels, both inputs together.</param>
/// <param name="SkipChannels">Those of the skip convolution, or 0.</param>
/// <param name="ElementBytes">Bytes of an operand in shared memory: 2 or 4.</param>
/// <param name="InputBytes">Bytes of an element of the input in global memory.</param>
/// <param name="TensorCores">Whether tensor cores multiply.</param>
/// <param name="Affine">Whether the input is normalised while it is loaded.</param>
/// <param name="StoreVector">Output channels that a thread stores at once.</param>
internal sealed record ConvShape(
    int Batch, int OutHeight, int OutWidth, int OutChannels, int Kernel, int Stride, int Channels, int SkipChannels,
    int ElementBytes, int InputBytes, bool TensorCores, bool Affine, int StoreVector);

/// <summary>
/// Chooses tiles by a model of a multiprocessor. A block's cycles are what its busiest unit needs when enough warps are
/// there, or the length of a warp's chain of barriers, loads and products when they are not; a launch takes as long as the
/// multiprocessor with the most blocks. Crude, but what it has to tell apart (a tile that leaves most multiprocessors idle,
/// one that loads each weight too often) differs by factors.
/// </summary>
internal static class ConvTiling
{
    // Pixels as rows x columns of images, and of the single row that a 1x1 convolution sees.
    private static readonly (int Pixels, int Columns, int WarpsM, int WarpsN, int WarpsK)[] Shapes =
    [
        (128, 128, 2, 4, 1), (128, 64, 2, 2, 1), (128, 64, 4, 2, 1), (64, 64, 2, 2, 1), (64, 64, 2, 2, 2),
        (128, 32, 4, 1, 1), (64, 32, 2, 1, 2), (32, 64, 1, 2, 2), (64, 32, 2, 1, 1),
    ];

    // What a multiprocessor does in a cycle, or what it takes it: its shared memory, its share of the second-level cache, the
    // elements that it normalises and activates; a barrier, a step's loads as their warp waits for them, a block's start and end.
    private const double SharedBytesPerCycle = 128, L2BytesPerCycle = 48, ElementsPerCycle = 8, BarrierCycles = 60, StepCycles =
        36, BlockCycles = 1500;

    // Of what the busiest unit leaves idle, the part that the others cannot use: they wait for each other now and then.
    private const double Contention = 0.3;

    private const double SpillFactor = 1.5;

    // Beside about 140 others a thread has room for so many; more would be spilled.
    private const int MaxRegisters = 110;

    // For the statistics, the driver, and a margin.
    private const int StaticBytes = 16 << 10;

    // Where kernels that are not specialised may run: A100, RTX 3090, RTX 4090, H100; with one image or many.
    private static readonly CudaDeviceInfo[] AnyDevice = [
        Device(80, 108, 163), Device(86, 82, 99), Device(89, 128, 99), Device(90, 132, 227)];
    private static readonly int[] AnyBatch = [1, 4, 16, 64];

    /// <summary>
    /// The tile of a kernel that is not specialised: the best compromise among those that fit every device. It depends on
    /// neither the device nor the number of images, so that what was compiled beforehand serves all of them.
    /// </summary>
    /// <exception cref="GraphException">None fits: the kernel has too many taps.</exception>
    public static ConvTile ChoosePortable(ConvShape shape)
    {
        // The row of a 1x1 convolution may hold all images: it is taken for one of 16 x 16 pixels.
        ConvShape image = shape.OutHeight == 1 ? shape with { OutWidth = 256 } : shape;
        IReadOnlyList<ConvTile> fitting = Ranked(image, AnyDevice.MinBy(d => d.MaxSharedBytesPerBlock)!);
        double[] regret = new double[fitting.Count];
        foreach (CudaDeviceInfo device in AnyDevice)
        {
            foreach (int batch in AnyBatch)
            {
                double[] cycles = [.. fitting.Select(t => Cycles(t, image with { Batch = batch }, device))];
                double least = cycles.Min();
                for (int i = 0; i < regret.Length; i++) regret[i] += cycles[i] / least;
            }
        }
        return fitting[Array.IndexOf(regret, regret.Min())];
    }

    /// <summary>The tile with the least estimated time among those that fit.</summary>
    /// <exception cref="GraphException">None does: the kernel has too many taps.</exception>
    public static ConvTile Choose(ConvShape shape, CudaDeviceInfo device) => Ranked(shape, device)[0];

    /// <summary>The tiles that fit, those with the least estimated time first.</summary>
    /// <exception cref="GraphException">None does: the kernel has too many taps.</exception>
    public static IReadOnlyList<ConvTile> Ranked(ConvShape shape, CudaDeviceInfo device)
    {
        ConvTile[] fitting = [.. Candidates(shape).Where(t => t.SharedBytes(shape) + StaticBytes <= device.MaxSharedBytesPerBlock)
            .OrderBy(t => Cycles(t, shape, device))];
        if (fitting.Length > 0) return fitting;
        throw new GraphException($"a convolution with {shape.Kernel}x{shape.Kernel} taps needs more than the "
            + $"{device.MaxSharedBytesPerBlock} bytes of shared memory that a block of {device.Name} can have; use a smaller kernel");
    }

    /// <summary>All tiles that the kernel can compute this shape with, shared memory aside.</summary>
    public static IEnumerable<ConvTile> Candidates(ConvShape shape)
    {
        foreach ((int pixels, int columns, int m, int n, int k) in Shapes)
        {
            // The exact kernel's threads hold every sum in a register of their own and read operands of 16 bytes.
            if (!shape.TensorCores && pixels / m * (columns / n) > 32 * 32) continue;
            // Statistics are gathered by warps that hold whole rows of a tile.
            if (columns / shape.StoreVector > 32) continue;
            if (columns > 32 && columns >= 2 * shape.OutChannels) continue;
            int height = shape.OutHeight == 1 ? 1 : pixels == 128 ? 8 : pixels / 8;
            foreach (int units in (int[])[2, 4, 8])
            {
                if (units < 2 * k) continue;
                // The smallest chunk that holds all channels, or one of the larger two.
                if (units == 2 ? shape.Channels * shape.ElementBytes > 32 : units == 8 && shape.Channels * shape.ElementBytes <= 64)
                    continue;
                var tile = new ConvTile(height, pixels / height, columns, m, n, k, units);
                if (tile.Registers(shape) <= MaxRegisters) yield return tile;
            }
        }
    }

    /// <summary>Estimated cycles of a launch.</summary>
    public static double Cycles(ConvTile tile, ConvShape shape, CudaDeviceInfo device)
    {
        double blocks = (double)shape.Batch * tile.Tiles(shape) * ConvTile.Ceiling(shape.OutChannels, tile.Columns);
        int taps = shape.Kernel * shape.Kernel, chunks = tile.Chunks(shape.Channels, shape.ElementBytes);
        int skipChunks = tile.Chunks(shape.SkipChannels, shape.ElementBytes);
        // A step multiplies 32 bytes of depth on tensor cores, 16 otherwise.
        int stepUnits = shape.TensorCores ? 2 : 1;
        double steps = (double)tile.Units / stepUnits * (chunks * taps + skipChunks);
        int warpRows = tile.Pixels / tile.WarpsM, warpColumns = tile.Columns / tile.WarpsN;

        double products = steps * stepUnits * 16 / shape.ElementBytes * tile.Pixels * tile.Columns / ProductsPerCycle(
            shape, device.ComputeCapability);
        double shared = steps * tile.WarpsM * tile.WarpsN * (warpRows + warpColumns) * stepUnits * 16 / SharedBytesPerCycle;
        double elements = 16.0 * tile.Units / shape.ElementBytes * (
            chunks * tile.PatchPixels(shape.Kernel, shape.Stride) + skipChunks * tile.Pixels);
        double staged = elements / ElementsPerCycle;
        double global = (elements * shape.ElementBytes + 16.0 * tile.Units * tile.Columns * (chunks * taps + skipChunks)) / L2BytesPerCycle;
        double busiest = Math.Max(Math.Max(products, shared), Math.Max(staged, global));
        double busy = busiest + Contention * (products + shared + staged + global - busiest);

        double chain = BlockCycles + (chunks * shape.Kernel + skipChunks) * BarrierCycles
            + steps / tile.WarpsK * (StepCycles + products / steps * 4 / (tile.WarpsM * tile.WarpsN)) + staged;
        double registers = 140 + tile.Registers(shape);
        double resident = Math.Max(
            1, Math.Min(65536 / (registers * tile.Threads), device.MaxSharedBytesPerBlock / (tile.SharedBytes(shape) + StaticBytes)));
        double most = Math.Ceiling(blocks / device.Multiprocessors);
        // The compiler was seen to spill what more than five units need while they are normalised.
        double spills = shape.Affine && tile.Staged(shape) > 5 ? SpillFactor : 1;
        return spills * Math.Max(most * busy + BlockCycles, Math.Ceiling(most / Math.Floor(resident)) * chain);
    }

    // Multiplications and additions of a multiprocessor in a cycle. Tensor cores: 16 bits at the rate of mma.sync, half of it
    // for tf32; compute capabilities 8.6 and 8.9 have half the tensor cores and twice the float32 units of 8.0.
    private static double ProductsPerCycle(ConvShape shape, int capability) => !shape.TensorCores
        ? capability == 80 ? 64 : 128
        : (capability >= 90 ? 2048.0 : capability == 80 ? 1024 : 512) * 2 / shape.ElementBytes;

    // What Cycles looks at; the rest is nobody's.
    private static CudaDeviceInfo Device(int capability, int multiprocessors, int sharedKilobytes) => new()
    {
        Name = "any device",
        ComputeCapability = capability,
        Multiprocessors = multiprocessors,
        MemoryBytes = 0,
        MaxSharedBytesPerBlock = sharedKilobytes << 10,
        ClockHz = 0,
        MemoryBytesPerSecond = 0,
    };
}
