namespace RawDiffusion.Cpu.Tests;

public sealed class SimdTests
{
    [Test]
    public void Exp_is_good_to_one_and_a_half_units_in_the_last_place([ValueSource(typeof(Simds), nameof(Simds.Paths))] SimdPath path) =>
        Simds.Run(path, new ExpAccuracy());

    [Test]
    public void Exp_beyond_the_range_stays_in_order([ValueSource(typeof(Simds), nameof(Simds.Paths))] SimdPath path) =>
        Simds.Run(path, new ExpLimits());

    [Test]
    public void Vector_operations_are_those_of_numbers([ValueSource(typeof(Simds), nameof(Simds.Paths))] SimdPath path) =>
        Simds.Run(path, new Operations());

    private static unsafe float[] Map<S, V>(Func<V, V> f, float[] x)
        where S : struct, ISimd<V>
        where V : unmanaged
    {
        float* buffer = stackalloc float[S.Lanes];
        float[] y = new float[x.Length];
        for (int i = 0; i < x.Length; i += S.Lanes)
        {
            int count = Math.Min(S.Lanes, x.Length - i);
            new Span<float>(buffer, S.Lanes).Clear();
            x.AsSpan(i, count).CopyTo(new Span<float>(buffer, count));
            S.Store(f(S.Load(buffer)), buffer);
            new Span<float>(buffer, count).CopyTo(y.AsSpan(i));
        }
        return y;
    }

    private sealed class ExpAccuracy : ISimdTest
    {
        public void Run<S, V>()
            where S : struct, ISimd<V>
            where V : unmanaged
        {
            // The whole range in steps of 0.0007, and every scale near zero, where e^x is 1 + x.
            var inputs = new List<float>();
            for (double x = -87.2; x < 88; x += 0.0007) inputs.Add((float)x);
            for (float x = 1e-30f; x < 1; x *= 1.7f) inputs.AddRange([x, -x]);
            inputs.AddRange([0f, -0f]);
            float[] found = Map<S, V>(SimdMath<S, V>.Exp, [.. inputs]);
            double worst = 0;
            float at = 0;
            for (int i = 0; i < found.Length; i++)
            {
                double expected = Math.Exp(inputs[i]);
                double ulp = MathF.BitIncrement((float)expected) - (double)(float)expected;
                double error = Math.Abs(found[i] - expected) / ulp;
                if (!(error <= worst)) (worst, at) = (error, inputs[i]);
            }
            TestContext.Out.WriteLine($"worst error {worst:F2} ulp at {at:R}");
            Assert.That(worst, Is.LessThan(1.5), $"at {at:R}");
        }
    }

    private sealed class ExpLimits : ISimdTest
    {
        public void Run<S, V>()
            where S : struct, ISimd<V>
            where V : unmanaged
        {
            float[] found = Map<S, V>(
                SimdMath<S, V>.Exp, [float.NaN, float.NegativeInfinity, -1e30f, -100, 88.5f, 1e30f, float.PositiveInfinity, -float.NaN]);
            Assert.That((found[0], found[7]), Is.EqualTo((float.NaN, float.NaN)));
            Assert.That(found[1..4], Has.All.InRange(0f, 2e-38f));
            Assert.That(found[4..7], Has.All.GreaterThan(1.6e38f));

            float[] silu = Map<S, V>(SimdMath<S, V>.Silu, [float.NaN, -1e4f, -200, 0, 200, 1e30f, float.PositiveInfinity]);
            Assert.That(silu[0], Is.NaN);
            Assert.That(silu[1..4], Has.All.InRange(-1e-30f, 0f));
            Assert.That(silu[4..], Is.EqualTo(new[] { 200, 1e30f, float.PositiveInfinity }));

            float[] relu = Map<S, V>(
                SimdMath<S, V>.Relu, [float.NaN, -float.NaN, float.NegativeInfinity, -1, 0, 2, float.PositiveInfinity]);
            Assert.That((relu[0], relu[1]), Is.EqualTo((float.NaN, float.NaN)));
            Assert.That(relu[2..], Is.EqualTo(new[] { 0, 0, 0, 2, float.PositiveInfinity }));
        }
    }

    private sealed class Operations : ISimdTest
    {
        public unsafe void Run<S, V>()
            where S : struct, ISimd<V>
            where V : unmanaged
        {
            float[] x = [.. Enumerable.Range(0, S.Lanes).Select(i => (i - 2) * 1.375f)];
            float[] y = [.. Enumerable.Range(0, S.Lanes).Select(i => 3.5f - i)];
            fixed (float* py = y)
            {
                V b = S.Load(py);
                Assert.That(Map<S, V>(a => S.Add(a, b), x), Is.EqualTo(x.Zip(y, (p, q) => p + q)));
                Assert.That(Map<S, V>(a => S.Subtract(a, b), x), Is.EqualTo(x.Zip(y, (p, q) => p - q)));
                Assert.That(Map<S, V>(a => S.Multiply(a, b), x), Is.EqualTo(x.Zip(y, (p, q) => p * q)));
                Assert.That(Map<S, V>(a => S.Divide(a, b), x), Is.EqualTo(x.Zip(y, (p, q) => p / q)));
                Assert.That(Map<S, V>(a => S.MultiplyAdd(a, b, S.Splat(0.25f)), x), Is.EqualTo(x.Zip(y, (p, q) => p * q + 0.25f)));
                Assert.That(Map<S, V>(a => S.Max(a, b), x), Is.EqualTo(x.Zip(y, Math.Max)));
                Assert.That(Map<S, V>(a => S.Min(a, b), x), Is.EqualTo(x.Zip(y, Math.Min)));
                Assert.That(Map<S, V>(S.Round, x), Is.EqualTo(x.Select(v => MathF.Round(v))));
                Assert.That(Map<S, V>(a => S.Scale(S.Splat(1.5f), S.Round(a)), x),
                    Is.EqualTo(x.Select(v => 1.5f * MathF.Pow(2, MathF.Round(v)))));
                Assert.That(S.Sum(b), Is.EqualTo(y.Sum()));
                // The largest in each lane once.
                for (int i = 0; i < S.Lanes; i++)
                {
                    float[] one = new float[S.Lanes];
                    Array.Fill(one, -7f);
                    one[i] = -1;
                    fixed (float* p = one) Assert.That(S.MaxAcross(S.Load(p)), Is.EqualTo(-1f), $"lane {i}");
                }
            }
        }
    }
}
