using System.Globalization;

namespace RawDiffusion.Cuda.Emulator.Tests.Instructions;

/// <summary>
/// Each shape of mma against a plain triple loop, with fragments laid out as the PTX manual's figures have them: lane
/// 4g + t holds rows g and g + 8 of A, column g of B, and columns 2t, 2t + 1 of D.
/// </summary>
public class MatrixTests
{
    [TestCase("m16n8k8.row.col.f32.bf16.bf16.f32", 8)]
    [TestCase("m16n8k16.row.col.f32.bf16.bf16.f32", 16)]
    [TestCase("m16n8k8.row.col.f32.f16.f16.f32", 8)]
    [TestCase("m16n8k16.row.col.f32.f16.f16.f32", 16)]
    [TestCase("m16n8k8.row.col.f16.f16.f16.f16", 8)]
    [TestCase("m16n8k16.row.col.f16.f16.f16.f16", 16)]
    [TestCase("m16n8k4.row.col.f32.tf32.tf32.f32", 4)]
    [TestCase("m16n8k8.row.col.f32.tf32.tf32.f32", 8)]
    [TestCase("m16n8k16.row.col.s32.s8.s8.s32", 16)]
    [TestCase("m16n8k32.row.col.s32.s8.s8.s32", 32)]
    public void A_shape_multiplies_matrices(string shape, int depth)
    {
        string element = shape.Split('.')[4];
        string accumulator = shape.Split('.')[3];
        int perWord = element == "tf32" ? 1 : element == "s8" ? 4 : 2;
        int[,] a = Fill(16, depth, 7), b = Fill(depth, 8, 5), c = Fill(16, 8, 3);
        int words = depth / (4 * perWord);
        int accumulators = accumulator == "f16" ? 2 : 4;
        var input = new List<uint>();
        for (int lane = 0; lane < 32; lane++)
        {
            int g = lane >> 2, t = lane & 3;
            for (int step = 0; step < words; step++)
            {
                foreach (int row in new[] { g, g + 8 })
                {
                    input.Add(Word(element, perWord, i => a[row, (step * 4 * perWord) + (t * perWord) + i]));
                }
            }

            for (int step = 0; step < words; step++)
            {
                input.Add(Word(element, perWord, i => b[(step * 4 * perWord) + (t * perWord) + i, g]));
            }

            foreach (int row in new[] { g, g + 8 })
            {
                if (accumulators == 2)
                {
                    input.Add(Word("f16", 2, i => c[row, (2 * t) + i]));
                }
                else
                {
                    input.Add(Word(accumulator, 1, _ => c[row, 2 * t]));
                    input.Add(Word(accumulator, 1, _ => c[row, (2 * t) + 1]));
                }
            }
        }

        uint[] found = Run(shape, words, accumulators, [.. input]);

        for (int lane = 0; lane < 32; lane++)
        {
            for (int i = 0; i < 4; i++)
            {
                int row = (lane >> 2) + (i >= 2 ? 8 : 0), column = ((lane & 3) * 2) + (i & 1);
                int expected = c[row, column] + Enumerable.Range(0, depth).Sum(k => a[row, k] * b[k, column]);
                uint word = accumulators == 2 ? (found[(lane * 2) + (i >> 1)] >> (16 * (i & 1))) & 0xFFFF : found[(lane * 4) + i];
                Assert.That(word, Is.EqualTo(Word(accumulator, 1, _ => expected)), $"row {row}, column {column}");
            }
        }
    }

    private static int[,] Fill(int rows, int columns, int seed)
    {
        int[,] matrix = new int[rows, columns];
        for (int i = 0; i < rows * columns; i++) matrix[i / columns, i % columns] = (i * seed % 9) - 4;

        return matrix;
    }

    private static uint Word(string type, int count, Func<int, int> value)
    {
        uint word = 0;
        for (int i = 0; i < count; i++)
        {
            word |= (type switch
            {
                "bf16" => BitConverter.SingleToUInt32Bits(value(i)) >> 16,
                "f16" => BitConverter.HalfToUInt16Bits((Half)value(i)),
                "s8" => (byte)value(i),
                "s32" => (uint)value(i),
                _ => BitConverter.SingleToUInt32Bits(value(i)),
            }) << (i * 32 / count);
        }

        return word;
    }

    private static uint[] Run(string shape, int words, int accumulators, uint[] input)
    {
        int perLane = (3 * words) + accumulators;
        string Registers(char name, int count) => "{" + string.Join(", ", Enumerable.Range(0, count).Select(i => $"%{name}{i}")) + "}";
        string Access(string format, char name, int count, int offset) =>
            string.Concat(Enumerable.Range(0, count)
            .Select(i => string.Format(CultureInfo.InvariantCulture, format, name, i, (offset + i) * 4)));
        const string Load = "ld.global.b32 %{0}{1}, [%p+{2}];\n", Store = "st.global.b32 [%p+{2}], %{0}{1};\n";
        using var gpu = new EmulatedGpu($$"""
            {{Ptx.Header}}
            .visible .entry k(.param .u64 x, .param .u64 y)
            {
            .reg .b32 %t, %a<8>, %b<4>, %c<4>, %d<4>; .reg .b64 %p, %o;
            mov.u32 %t, %laneid; ld.param.u64 %p, [x]; mul.wide.u32 %o, %t, {{perLane * 4}}; add.s64 %p, %p, %o;
            {{Access(Load, 'a', 2 * words, 0)}}{{Access(Load, 'b', words, 2 * words)}}{{Access(Load, 'c', accumulators, 3 * words)}}
            mma.sync.aligned.{{shape}} {{Registers('d', accumulators)}}, {{Registers('a', 2 * words)}}, {{Registers('b', words)}},
                {{Registers('c', accumulators)}};
            ld.param.u64 %p, [y]; mul.wide.u32 %o, %t, {{accumulators * 4}}; add.s64 %p, %p, %o;
            {{Access(Store, 'd', accumulators, 0)}}
            ret;
            }
            """, new());
        ulong result = gpu.Allocate<uint>(32 * accumulators);
        gpu.Launch("k", new(1, 32), gpu.Upload(input), result);
        return gpu.Download<uint>(result, 32 * accumulators);
    }
}
