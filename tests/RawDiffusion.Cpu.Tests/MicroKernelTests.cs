namespace RawDiffusion.Cpu.Tests;

public sealed class MicroKernelTests
{
    [Test]
    public void Every_tile_is_a_matrix_product([ValueSource(typeof(Simds), nameof(Simds.Paths))] SimdPath path) =>
        Simds.Run(path, new Tiles());

    [Test]
    public void Tiles_cover_what_is_left([ValueSource(typeof(Simds), nameof(Simds.Paths))] SimdPath path) => Simds.Run(path, new Covers());

    [Test]
    public void A_packed_matrix_is_the_matrix_in_panels(
        [Values(8, 16, 32)] int width, [Values(0, 1, 3, 4, 7, 33)] int k, [Values(0, 1, 5, 8, 16, 31, 70)] int columns)
    {
        // Row-major, column-major, and a matrix within a wider one.
        foreach ((int row, int column) in (
            ReadOnlySpan<(int, int)>)[(columns, 1), (1, k), (columns + 3, 1), (1, k + 5), (2 * columns + 1, 2)])
        {
            RequirePacked(width, k, columns, row, column);
        }
    }

    private static unsafe void RequirePacked(int width, int k, int columns, int rowStride, int columnStride)
    {
        float[] source = [.. Enumerable.Range(1, k * Math.Abs(rowStride) + columns * columnStride + 1).Select(i => (float)i)];
        long count = PackedMatrix.Count(k, columns, width);
        Assert.That(count, Is.EqualTo((long)k * PackedMatrix.Panels(columns, width) * width));
        float[] packed = new float[count + 1];
        Array.Fill(packed, float.NaN);
        fixed (float* s = source, p = packed) PackedMatrix.Pack(s, rowStride, columnStride, k, columns, width, p);
        for (int panel = 0; panel < PackedMatrix.Panels(columns, width); panel++)
        {
            for (int i = 0; i < k; i++)
            {
                for (int j = 0; j < width; j++)
                {
                    int c = panel * width + j;
                    float expected = c < columns ? source[i * rowStride + c * columnStride] : 0;
                    float found = packed[(panel * k + i) * width + j];
                    if (found != expected)
                        Assert.Fail($"strides {rowStride}, {columnStride}: panel {panel}, row {i}, column {j} is {found}, not {expected}");
                }
            }
        }
        Assert.That(packed[count], Is.NaN, "wrote beyond the last panel");
    }

    private sealed class Covers : ISimdTest
    {
        public void Run<S, V>()
            where S : struct, ISimd<V>
            where V : unmanaged
        {
            for (int left = 1; left < 100; left++)
            {
                int rows = MicroKernel<S, V>.RowsFor(left);
                Assert.That((int[])[4, 6, 8, 12], Has.Member(rows));
                Assert.That(rows, Is.LessThanOrEqualTo(MicroKernel<S, V>.MaxRows));
                Assert.That(rows - left, Is.LessThan(4), $"{rows} rows for {left}");
            }
        }
    }

    private sealed class Tiles : ISimdTest
    {
        public unsafe void Run<S, V>()
            where S : struct, ISimd<V>
            where V : unmanaged
        {
            int columns = MicroKernel<S, V>.Columns;
            var random = new Random(4);
            // Whole numbers: sums are exact, in whatever order.
            float[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)random.Next(-8, 9))];
            foreach (int rows in ((int[])[4, 6, 8, 12]).Where(r => r <= MicroKernel<S, V>.MaxRows))
            {
                foreach ((int segments, int k) in (ReadOnlySpan<(int, int)>)[(1, 1), (1, 33), (3, 9), (2, 1), (1, 0)])
                {
                    int rowStride = k + 2, segmentStride = rows * rowStride + 5, ldc = columns + 3;
                    float[] a = Numbers(segments * segmentStride + 1), b = Numbers(segments * k * columns + 1), before = Numbers(
                        rows * ldc + 1);
                    foreach (bool accumulate in (bool[])[false, true])
                    {
                        float[] c = [.. before];
                        fixed (float* pa = a, pb = b, pc = c)
                            MicroKernel<S, V>.Run(rows, pa, rowStride, segments, segmentStride, k, pb, pc, ldc, accumulate);
                        float[] expected = [.. before];
                        for (int r = 0; r < rows; r++)
                        {
                            for (int j = 0; j < columns; j++)
                            {
                                double sum = accumulate ? before[r * ldc + j] : 0;
                                for (int s = 0; s < segments; s++)
                                {
                                    for (int i = 0; i < k; i++)
                                        sum += a[s * segmentStride + r * rowStride + i] * b[(s * k + i) * columns + j];
                                }

                                expected[r * ldc + j] = (float)sum;
                            }
                        }
                        Assert.That(c, Is.EqualTo(expected), $"{rows} rows, {segments} segments of {k}, accumulate {accumulate}");
                    }
                }
            }
        }
    }
}
