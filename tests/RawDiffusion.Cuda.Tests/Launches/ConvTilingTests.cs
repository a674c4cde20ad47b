using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Tests.Launches;

public sealed class ConvTilingTests
{
    // Compute capability, multiprocessors, shared memory of a block.
    private static readonly CudaDeviceInfo[] Devices = [
        Device(80, 108, 163), Device(86, 84, 99), Device(89, 128, 99), Device(90, 132, 227)];

    // Size of the output, channels in and out, kernel, stride: the published networks, and what is awkward.
    private static readonly int[][] Layers =
    [
        [64, 3, 64, 3, 1], [64, 64, 64, 3, 1], [64, 192, 64, 3, 1], [32, 320, 128, 3, 1], [16, 384, 192, 3, 1], [32, 64, 64, 3, 2],
        [32, 128, 384, 1, 1], [16, 192, 576, 1, 1], [4, 64, 64, 3, 1], [64, 64, 3, 3, 1], [1, 1, 1, 1, 1], [7, 33, 20, 5, 1], [
        9, 6, 129, 2, 2],
    ];

    [Test]
    public void Chosen_tiles_fit_every_device([ValueSource(nameof(Devices))] CudaDeviceInfo device, [Values(1, 4, 64)] int batch)
    {
        foreach (ConvShape shape in Shapes(batch))
        {
            ConvTile tile = ConvTiling.Choose(shape, device);
            Assert.Multiple(() =>
            {
                Assert.That(tile.SharedBytes(shape), Is.LessThanOrEqualTo(device.MaxSharedBytesPerBlock), $"{shape}: {tile}");
                Assert.That(tile.Threads, Is.InRange(32, 256), $"{shape}: {tile}");
                // What the kernel itself demands: whole sub-tiles of warps, threads that share the stores evenly.
                Assert.That(tile.Pixels / tile.WarpsM % 16 + tile.Columns / tile.WarpsN % 16, Is.Zero, $"{shape}: {tile}");
                Assert.That(tile.Units % (shape.TensorCores ? 2 * tile.WarpsK : tile.WarpsK), Is.Zero, $"{shape}: {tile}");
                Assert.That(tile.Threads % (tile.Columns / shape.StoreVector), Is.Zero, $"{shape}: {tile}");
            });
        }
    }

    /// <summary>Four factors of one image: tiles shrink until most multiprocessors have one.</summary>
    [Test]
    public void One_image_keeps_most_of_a_large_device_busy()
    {
        foreach (int[] layer in Layers[1..8])
        {
            ConvShape shape = Shape(4, layer, 2, true);
            ConvTile tile = ConvTiling.Choose(shape, Devices[3]);
            int blocks = 4 * tile.Tiles(shape) * ConvTile.Ceiling(shape.OutChannels, tile.Columns);
            Assert.That(blocks, Is.GreaterThanOrEqualTo(90), $"{shape}: {tile}");
        }
    }

    /// <summary>With work for all, a tile that reuses each operand more often is better.</summary>
    [Test]
    public void Many_images_are_computed_in_larger_tiles()
    {
        foreach (int[] layer in (int[][])[[16, 384, 192, 3, 1], [32, 128, 128, 3, 1], [16, 192, 576, 1, 1]])
        {
            ConvTile few = ConvTiling.Choose(Shape(4, layer, 2, true), Devices[3]), many = ConvTiling.Choose(
                Shape(64, layer, 2, true), Devices[3]);
            Assert.That(many.Pixels * many.Columns, Is.GreaterThan(few.Pixels * few.Columns), string.Join(" ", layer));
        }
    }

    /// <summary>Kernels that were compiled before anyone knew the device or the number of images.</summary>
    [Test]
    public void Portable_tiles_fit_every_device_and_do_not_depend_on_the_batch()
    {
        foreach (ConvShape shape in Shapes(1))
        {
            ConvTile tile = ConvTiling.ChoosePortable(shape);
            int room = Devices.Min(d => d.MaxSharedBytesPerBlock);
            Assert.That(tile.SharedBytes(shape), Is.LessThanOrEqualTo(room), $"{shape}: {tile}");
            foreach (int batch in (int[])[2, 5, 64, 1000])
            {
                // A 1x1 convolution may see all images as one row.
                ConvShape row = shape.OutHeight == 1 ? shape with { OutWidth = batch * shape.OutWidth } : shape;
                Assert.That(ConvTiling.ChoosePortable(shape with { Batch = batch }), Is.EqualTo(tile), $"{shape}, batch {batch}");
                Assert.That(ConvTiling.ChoosePortable(row), Is.EqualTo(tile), $"{shape}, {batch} in a row");
            }
        }
    }

    [Test]
    public void Portable_tiles_cost_little([ValueSource(nameof(Devices))] CudaDeviceInfo device, [Values(1, 4, 16, 64)] int batch)
    {
        double portable = 0, best = 0, worst = 0;
        foreach (ConvShape shape in Shapes(batch))
        {
            double p = ConvTiling.Cycles(ConvTiling.ChoosePortable(shape), shape, device), b = ConvTiling.Cycles(
                ConvTiling.Choose(shape, device), shape, device);
            if (p / b > worst)
            {
                TestContext.Out.WriteLine(
                    $"{p / b:0.00} {shape} {ConvTiling.ChoosePortable(shape)} not {ConvTiling.Choose(shape, device)}");
            }
            (portable, best, worst) = (portable + p, best + b, Math.Max(worst, p / b));
        }
        TestContext.Out.WriteLine($"{device.Name}, batch {batch}: {portable / best:0.000} of the best, at most {worst:0.00}");
        Assert.That(portable / best, Is.LessThan(1.2));
        Assert.That(worst, Is.LessThan(2));
    }

    [Test]
    public void A_kernel_that_no_block_can_hold_is_refused() => Assert.That(
        () => ConvTiling.Choose(Shape(1, [64, 64, 64, 31, 1], 4, false), Devices[1]),
        Throws.InstanceOf<GraphException>().With.Message.Contains("31x31").And.Message.Contains("smaller kernel"));

    private static IEnumerable<ConvShape> Shapes(int batch) =>
        from layer in Layers
        from format in (IEnumerable<(int Bytes, bool Cores)>)[(2, true), (4, true), (4, false)]
        select Shape(batch, layer, format.Bytes, format.Cores);

    private static ConvShape Shape(int batch, int[] layer, int bytes, bool cores)
    {
        (int height, int width) = layer[3] == 1 ? (1, layer[0] * layer[0]) : (layer[0], layer[0]);
        int vector = ConvForward.Vector(16 / bytes, layer[2]);
        return new ConvShape(batch, height, width, layer[2], layer[3], layer[4], layer[1], 0, bytes, bytes, cores, true, vector);
    }

    private static CudaDeviceInfo Device(int capability, int multiprocessors, int sharedKilobytes) => new()
    {
        Name = $"sm_{capability}",
        ComputeCapability = capability,
        Multiprocessors = multiprocessors,
        MemoryBytes = 40L << 30,
        MaxSharedBytesPerBlock = sharedKilobytes << 10,
        ClockHz = 1.5e9,
        MemoryBytesPerSecond = 1e12,
    };
}
