using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class AttentionGradTests
{
    // Products of 8-bit numbers are exact; weights and ds are rounded to the operands' 11 or 8 bits.
    private static readonly KernelTolerance Tolerance = new(3e-6, 2e-3, 1e-2, 2e-3);

    // Batch, height, width, heads, channels of a head.
    private static readonly int[][] Shapes =
    [
        [1, 1, 1, 1, 20],
        [2, 5, 1, 1, 64],
        [1, 5, 13, 2, 20],
        [1, 1, 37, 1, 33],
        [1, 7, 10, 1, 128],
        [2, 8, 17, 3, 20],
        [0, 3, 3, 2, 8],
    ];

    [TestCaseSource(nameof(Shapes))]
    public void It_is_the_derivative_of_attention(int n, int h, int w, int heads, int d) => KernelContract.Check(
        Tolerance,
        (g, v) => g.AttentionGrad(v[0], g.Attention(v[0], heads), v[1], heads),
        a => Reference(a[0], a[1], n, h * w, heads, d),
        [n, h, w, 3 * heads * d], [n, h, w, heads * d]);

    /// <summary>The reference's gradient is that of the reference's attention, by finite differences.</summary>
    [Test]
    public void The_reference_is_the_derivative_of_attention()
    {
        const int Positions = 5, Heads = 2, Head = 3;
        var random = new Random(1);
        double[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextDouble() - 0.5)];
        double[] qkv = Draw(Positions * Heads * Head * 3), dy = Draw(Positions * Heads * Head);
        double[] gradient = Reference(qkv, dy, 1, Positions, Heads, Head);
        double Loss(double[] x) => Forward(x, 1, Positions, Heads, Head).Zip(dy, (a, b) => a * b).Sum();
        for (int i = 0; i < qkv.Length; i++)
        {
            const double Step = 1e-5;
            double[] up = [.. qkv], down = [.. qkv];
            up[i] += Step;
            down[i] -= Step;
            Assert.That(gradient[i], Is.EqualTo((Loss(up) - Loss(down)) / (2 * Step)).Within(1e-9), $"element {i}");
        }
    }

    [Test]
    public void Mismatches_are_refused_with_names_and_shapes()
    {
        var g = new Graph();
        Value qkv = g.Input("qkv", [1, 2, 2, 12]), y = g.Input("y", [1, 2, 2, 4]), other = g.Input("other", [1, 2, 3, 4]);
        Assert.That(() => g.AttentionGrad(qkv, other, y, 2), Throws.TypeOf<GraphException>().With.Message.Contains("other [1, 2, 3, 4]"));
        Assert.That(() => g.AttentionGrad(qkv, y, other, 2), Throws.TypeOf<GraphException>().With.Message.Contains("other [1, 2, 3, 4]"));
        Assert.That(() => g.AttentionGrad(qkv, y, y, 3), Throws.TypeOf<GraphException>().With.Message.Contains("3 heads"));
    }

    internal static double[] Forward(double[] qkv, int images, int positions, int heads, int d)
    {
        double[] y = new double[qkv.Length / 3];
        foreach (Head head in Head.All(qkv, images, positions, heads, d))
        {
            for (int t = 0; t < positions; t++)
            {
                for (int s = 0; s < positions; s++)
                    for (int c = 0; c < d; c++) y[head.Result(t, c)] += head.Weights[t, s] * qkv[head.At(s, 2, c)];
            }
        }

        return y;
    }

    private static double[] Reference(double[] qkv, double[] dy, int images, int positions, int heads, int d)
    {
        double[] gradient = new double[qkv.Length];
        foreach (Head head in Head.All(qkv, images, positions, heads, d))
        {
            for (int t = 0; t < positions; t++)
            {
                double[] dp = new double[positions];
                double delta = 0;
                for (int s = 0; s < positions; s++)
                {
                    for (int c = 0; c < d; c++)
                    {
                        dp[s] += dy[head.Result(t, c)] * qkv[head.At(s, 2, c)];
                        gradient[head.At(s, 2, c)] += head.Weights[t, s] * dy[head.Result(t, c)];
                    }
                    delta += head.Weights[t, s] * dp[s];
                }
                for (int s = 0; s < positions; s++)
                {
                    double ds = head.Weights[t, s] * (dp[s] - delta) / Math.Sqrt(d);
                    for (int c = 0; c < d; c++)
                    {
                        gradient[head.At(t, 0, c)] += ds * qkv[head.At(s, 1, c)];
                        gradient[head.At(s, 1, c)] += ds * qkv[head.At(t, 0, c)];
                    }
                }
            }
        }
        return gradient;
    }

    /// <summary>A head of an image: where its channels lie, and the softmax of its scores.</summary>
    private sealed record Head(int Image, int Number, int Heads, int Positions, int Channels)
    {
        public double[,] Weights { get; } = new double[Positions, Positions];

        public static IEnumerable<Head> All(double[] qkv, int images, int positions, int heads, int d)
        {
            for (int n = 0; n < images; n++)
            {
                for (int h = 0; h < heads; h++)
                {
                    var head = new Head(n, h, heads, positions, d);
                    head.Attend(qkv);
                    yield return head;
                }
            }
        }

        /// <summary>Index of a channel of q, k or v (part 0, 1, 2).</summary>
        public int At(int t, int part, int c) => (((Image * Positions + t) * Heads + Number) * 3 + part) * Channels + c;

        /// <summary>Index of a channel of the result.</summary>
        public int Result(int t, int c) => ((Image * Positions + t) * Heads + Number) * Channels + c;

        private void Attend(double[] qkv)
        {
            for (int t = 0; t < Positions; t++)
            {
                double total = 0;
                for (int s = 0; s < Positions; s++)
                {
                    double score = 0;
                    for (int c = 0; c < Channels; c++) score += qkv[At(t, 0, c)] * qkv[At(s, 1, c)];
                    // Scores of normal numbers are far from overflow: no shift.
                    total += Weights[t, s] = Math.Exp(score / Math.Sqrt(Channels));
                }
                for (int s = 0; s < Positions; s++) Weights[t, s] /= total;
            }
        }
    }
}
