using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

public sealed class GroupNormGradTests
{
    private const float Epsilon = 1e-5f;

    // Cancellation: a gradient by x is what is left of three terms of its size.
    private static readonly KernelTolerance Sums = new(1e-5, 1e-5, 1e-5, 1e-5), Stored = new(1e-5, 1e-5, 4e-3, 5e-4);

    // x and the number of groups: one channel in a group, many tiles of pixels, more channels than threads, an odd number of them.
    private static readonly (Shape X, int Groups)[] Shapes =
        [([0, 2, 2, 4], 2), ([1, 1, 2, 4], 2), ([3, 5, 7, 33], 11), ([2, 3, 3, 64], 16), ([1, 40, 33, 16], 16), ([2, 3, 5, 330], 5),
        ([1, 2, 2, 1100], 10)];

    [Test]
    public void The_gradient_by_x_is_the_references(
        [ValueSource(nameof(Shapes))] (Shape X, int Groups) shape, [Values] bool film,
            [Values(Activation.None, Activation.Silu)] Activation activation) =>
        Check(Stored, shape, film, activation, gradients => gradients.Input, gradients => gradients.Input);

    [Test]
    public void The_gradients_by_gamma_and_beta_are_the_references(
        [ValueSource(nameof(Shapes))] (Shape X, int Groups) shape, [Values] bool film,
            [Values(Activation.None, Activation.Silu)] Activation activation) =>
        Check(Sums, shape, film, activation, gradients => gradients.Affine, gradients => [.. gradients.Gamma, .. gradients.Beta]);

    [Test]
    public void The_gradient_by_film_is_the_references(
        [ValueSource(nameof(Shapes))] (Shape X, int Groups) shape, [Values(Activation.None, Activation.Silu)] Activation activation) =>
        Check(Sums, shape, true, activation, gradients => gradients.Film!, gradients => gradients.Film);

    [Test]
    public void The_references_gradients_are_those_of_the_references_values([Values] Activation activation)
    {
        var reference = new NormReference(2, 3, 4, 2, Epsilon, activation);
        var random = new Random(5);
        double[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextDouble() * 2 - 1)];
        double[][] inputs = [Draw(24), Draw(4), Draw(4), Draw(16)];
        double[] dy = Draw(24);
        (double[] dx, double[] dgamma, double[] dbeta, double[] dfilm) = reference.Gradients(
            inputs[0], inputs[1], inputs[2], inputs[3], dy);
        double[][] gradients = [dx, dgamma, dbeta, dfilm];
        double Loss() => reference.Forward(inputs[0], inputs[1], inputs[2], inputs[3]).Zip(dy, (y, d) => y * d).Sum();
        for (int k = 0; k < inputs.Length; k++)
        {
            for (int i = 0; i < inputs[k].Length; i++)
            {
                double kept = inputs[k][i];
                inputs[k][i] = kept + 1e-5;
                double above = Loss();
                inputs[k][i] = kept - 1e-5;
                double below = Loss();
                inputs[k][i] = kept;
                Assert.That(gradients[k][i], Is.EqualTo((above - below) / 2e-5).Within(1e-7), $"input {k}, element {i}");
            }
        }
    }

    private static void Check(
        KernelTolerance tolerance, (Shape X, int Groups) shape, bool film, Activation activation, Func<GroupNormGradients, Value> choose,
        Func<(double[] Input, double[] Gamma, double[] Beta, double[] Film), double[]> expected)
    {
        (Shape x, int groups) = shape;
        var reference = new NormReference(x[0], x[1] * x[2], x[3], groups, Epsilon, activation);
        KernelContract.Check(
            tolerance,
            (g, v) => choose(g.GroupNormGrad(v[0], v[1], v[2], v[4], groups, activation, film ? v[3] : null, Epsilon)),
            a => expected(reference.Gradients(a[0], a[1], a[2], film ? a[3] : null, a[4])),
            x, [x[3]], [x[3]], [x[0], 2 * x[3]], x);
    }
}
