using System.Runtime.InteropServices;
using RawDiffusion.Cpu;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Evaluation;
using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Diffusion.Tests.Evaluation;

/// <summary>Networks of closed-form weights against PyTorch: the numbers are printed by tools/evaluation_goldens.py --networks.</summary>
public sealed class FeatureNetworkTests
{
    private readonly CpuDevice device = new(0);

    [OneTimeTearDown]
    public void DisposeDevice() => device.Dispose();

    [TestCase("alex", 64, 0.257623702, 0.002918818)]
    [TestCase("vgg", 64, 0.202547193, 0.003403674)]
    [TestCase("alex", 45, 0.261294067, 0.002644052)]
    [TestCase("vgg", 45, 0.205683991, 0.003417776)]
    public void Perceptual_distances_are_PyTorchs(string network, int size, double different, double alike)
    {
        (float[] a, float[] b) = (Pictures(2, size, "lpips a"), Pictures(2, size, "lpips b"));
        for (int i = b.Length / 2; i < b.Length; i++) b[i] = 0.9f * a[i] + 0.1f * b[i];
        using var lpips = new Lpips([new TensorFile(network == "alex" ? Alex() : Vgg())]);
        Assert.That(lpips.Network, Is.EqualTo(network == "alex" ? "AlexNet" : "VGG16"));
        double[] found = lpips.Distances(device, ToNhwc(a, 2, size), ToNhwc(b, 2, size), size);
        Assert.That(found[0], Is.EqualTo(different).Within(2e-5 * different));
        Assert.That(found[1], Is.EqualTo(alike).Within(1e-4 * alike));
    }

    [Test]
    public void A_pair_does_not_depend_on_the_others()
    {
        (float[] a, float[] b) = (ToNhwc(Pictures(11, 32, "lpips a"), 11, 32), ToNhwc(Pictures(11, 32, "lpips b"), 11, 32));
        using var lpips = new Lpips([new TensorFile(Alex())]);
        double[] all = lpips.Distances(device, a, b, 32);
        Assert.That(lpips.Distances(device, a.AsSpan(^3072..), b.AsSpan(^3072..), 32)[0], Is.EqualTo(all[10]));
        Assert.That(lpips.Distances(device, a, a, 32), Is.All.Zero);
        Assert.That(lpips.Distances(device, [], [], 32), Is.Empty);
    }

    [Test]
    public void Weights_are_found_in_one_file_or_two()
    {
        KeyValuePair<string, Tensor>[] all = [.. Alex()];
        float[] a = ToNhwc(Pictures(1, 32, "lpips a"), 1, 32), b = ToNhwc(Pictures(1, 32, "lpips b"), 1, 32);
        using var one = new Lpips([new TensorFile(all)]);
        using var two = new Lpips([new TensorFile(all.Where(t => t.Key.StartsWith("lin", StringComparison.Ordinal))),
            new TensorFile(all.Where(t => t.Key.StartsWith("features", StringComparison.Ordinal)))]);
        // The state dict of the lpips package itself, with the linear layers twice.
        string[] slices = ["0", "3", "6", "8", "10"];
        using var package = new Lpips([new TensorFile(all.Select(t => t.Key.Split('.') is ["features", var index, var part]
            ? KeyValuePair.Create($"net.slice{Array.IndexOf(slices, index) + 1}.{index}.{part}", t.Value) : t)
            .Concat(all.Where(t => t.Key.StartsWith("lin", StringComparison.Ordinal))
            .Select(t => KeyValuePair.Create(t.Key.Replace("lin", "lins."), t.Value))))]);
        double[] expected = one.Distances(device, a, b, 32);
        Assert.That(two.Distances(device, a, b, 32), Is.EqualTo(expected));
        Assert.That(package.Distances(device, a, b, 32), Is.EqualTo(expected));
    }

    [Test]
    public void Inception_features_are_PyTorchs()
    {
        double[][] expected =
        [
            [0.0004172367, 0.00188448, 1.043778, 0.02571721, 0.0, 0.007677887, 0.1122612, 0.003865001, 0.03488417, 0.02164965, 0.4626568,
                0.1336546, 0.2532707, 0.0, 0.0005373589, 0.3213669],
            [0.000934774, 0.003199049, 1.308444, 0.0410867, 0.0, 0.01205365, 0.1754193, 0.01061417, 0.07607267, 0.03592857, 0.6061967,
            0.1809351, 0.2921057, 0.0, 0.0009691612, 0.4768187],
        ];
        float[] ramps = Drawn.Image(3, 40, 40);
        float[] second = [.. Enumerable.Range(0, 3 * 64 * 64).Select(i => ramps[i / 4096 * 1600 + i / 64 % 64 % 40 * 40 + i % 64 % 40])];
        using var inception = new InceptionFeatures(new TensorFile(Inception()));
        float[] found = inception.Of(device, ToNhwc([.. Pictures(1, 64, "inception"), .. second], 2, 64), 64);
        for (int n = 0; n < 2; n++)
        {
            for (int i = 0; i < 16; i++)
            {
                Assert.That(found[n * 2048 + 128 * i], Is.EqualTo(expected[n][i]).Within(1e-5 + 1e-4 * expected[n][i]),
                    $"image {n}, feature {128 * i}");
            }
            Assert.That(found.Skip(n * 2048).Take(2048).Sum(v => (double)v), Is.EqualTo(n == 0 ? 270.15005 : 348.05728).Within(5e-3));
        }
    }

    [Test]
    public void What_a_file_lacks_is_said()
    {
        Assert.That(() => new Lpips([new TensorFile(Alex().Where(t => t.Key != "lin3.model.1.weight"))]),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("AlexNet").And.Message.Contains(
            "lin3.model.1.weight [1, 256, 1, 1], found none"));
        Assert.That(() => new Lpips([new TensorFile(
            Vgg().Select(t => t.Key == "features.2.bias" ? KeyValuePair.Create(t.Key, ClosedFormWeights.Tensor(t.Key, [3])) : t))]),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("2.bias [64], found [3]"));
        Assert.That(() => new Lpips([]), Throws.TypeOf<CheckpointException>());
        Assert.That(() => new InceptionFeatures(
            new TensorFile(Inception().Where(t => !t.Key.StartsWith("Mixed_7c.branch_pool.bn", StringComparison.Ordinal)))),
            Throws.TypeOf<CheckpointException>().With.Message.Contains(
            "Mixed_7c.branch_pool.bn.weight [192], found none").And.Message.Contains("4 such tensors"));
    }

    [Test]
    public void Weights_that_are_not_finite_are_refused()
    {
        var bad = new Tensor(TensorType.Float32, [64], bytes => MemoryMarshal.Cast<byte, float>(bytes).Fill(float.NaN));
        using var lpips = new Lpips([new TensorFile(Alex().Select(t => t.Key == "features.0.bias" ? KeyValuePair.Create(t.Key, bad) : t))]);
        Assert.That(() => lpips.Distances(device, new float[3072], new float[3072], 32),
            Throws.TypeOf<CheckpointException>().With.Message.Contains("0.bias[0]"));
    }

    [Test]
    public void Images_that_are_too_small_are_refused()
    {
        using var lpips = new Lpips([new TensorFile(Alex())]);
        Assert.That(() => lpips.Distances(device, new float[2700], new float[2700], 30),
            Throws.ArgumentException.With.Message.Contains("31 x 31"));
        Assert.That(lpips.Distances(device, new float[2883], new float[2883], 31), Is.EqualTo(new[] { 0.0 }));
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> Alex()
    {
        int inputs = 3;
        foreach ((int index, int outputs, int kernel) in (
            (int, int, int)[])[(0, 64, 11), (3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3)])
        {
            yield return Weight($"features.{index}.weight", [outputs, inputs, kernel, kernel]);
            yield return Weight($"features.{index}.bias", [outputs]);
            inputs = outputs;
        }
        foreach (KeyValuePair<string, Tensor> linear in Linear(64, 192, 384, 256, 256)) yield return linear;
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> Vgg()
    {
        int inputs = 3;
        foreach ((int index, int outputs) in ((int, int)[])
            [(0, 64), (2, 64), (5, 128), (7, 128), (10, 256), (12, 256), (14, 256), (17, 512), (19, 512), (21, 512), (24, 512),
                (26, 512), (28, 512)])
        {
            yield return Weight($"features.{index}.weight", [outputs, inputs, 3, 3]);
            yield return Weight($"features.{index}.bias", [outputs]);
            inputs = outputs;
        }
        foreach (KeyValuePair<string, Tensor> linear in Linear(64, 128, 256, 512, 512)) yield return linear;
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> Linear(params int[] widths) =>
        widths.Select((w, k) => Weight($"lin{k}.model.1.weight", [1, w, 1, 1]));

    // Names and shapes of pt_inception-2015-12-05, from its layers: inputs, outputs and kernel of each convolution.
    private static IEnumerable<KeyValuePair<string, Tensor>> Inception()
    {
        const string layers = """
            Conv2d_1a_3x3 3 32 3 3, Conv2d_2a_3x3 32 32 3 3, Conv2d_2b_3x3 32 64 3 3, Conv2d_3b_1x1 64 80 1 1, Conv2d_4a_3x3 80 192 3 3
            """;
        IEnumerable<string> A(string m, int i, int pool) =>
            [$"{m}.branch1x1 {i} 64 1 1", $"{m}.branch5x5_1 {i} 48 1 1", $"{m}.branch5x5_2 48 64 5 5", $"{m}.branch3x3dbl_1 {i} 64 1 1",
                $"{m}.branch3x3dbl_2 64 96 3 3", $"{m}.branch3x3dbl_3 96 96 3 3", $"{m}.branch_pool {i} {pool} 1 1"];
        IEnumerable<string> C(string m, int w) =>
            [$"{m}.branch1x1 768 192 1 1", $"{m}.branch7x7_1 768 {w} 1 1", $"{m}.branch7x7_2 {w} {w} 1 7", $"{m}.branch7x7_3 {w} 192 7 1",
                $"{m}.branch7x7dbl_1 768 {w} 1 1", $"{m}.branch7x7dbl_2 {w} {w} 7 1", $"{m}.branch7x7dbl_3 {w} "
                + $"{w} 1 7", $"{m}.branch7x7dbl_4 {w} {w} 7 1",
                $"{m}.branch7x7dbl_5 {w} 192 1 7", $"{m}.branch_pool 768 192 1 1"];
        IEnumerable<string> E(string m, int i) =>
            [$"{m}.branch1x1 {i} 320 1 1", $"{m}.branch3x3_1 {i} 384 1 1", $"{m}.branch3x3_2a 384 384 1 3", $"{m}.branch3x3_2b 384 384 3 1",
                $"{m}.branch3x3dbl_1 {i} 448 1 1", $"{m}.branch3x3dbl_2 448 384 3 3", $"{m}.branch3x3dbl_3a 384 "
                + "384 1 3", $"{m}.branch3x3dbl_3b 384 384 3 1",
                $"{m}.branch_pool {i} 192 1 1"];
        IEnumerable<string> all =
        [
            .. layers.Split(','), .. A("Mixed_5b", 192, 32), .. A("Mixed_5c", 256, 64), .. A("Mixed_5d", 288, 64),
            "Mixed_6a.branch3x3 288 384 3 3", "Mixed_6a.branch3x3dbl_1 288 64 1 1", "Mixed_6a.branch3x3dbl_2 "
            + "64 96 3 3", "Mixed_6a.branch3x3dbl_3 96 96 3 3",
            .. C("Mixed_6b", 128), .. C("Mixed_6c", 160), .. C("Mixed_6d", 160), .. C("Mixed_6e", 192),
            "Mixed_7a.branch3x3_1 768 192 1 1", "Mixed_7a.branch3x3_2 192 320 3 3", "Mixed_7a.branch7x7x3_1 768 "
            + "192 1 1", "Mixed_7a.branch7x7x3_2 192 192 1 7",
            "Mixed_7a.branch7x7x3_3 192 192 7 1", "Mixed_7a.branch7x7x3_4 192 192 3 3", .. E("Mixed_7b", 1280), .. E("Mixed_7c", 2048),
        ];
        foreach (string[] layer in all.Select(l => l.Trim().Split(' ')))
        {
            int[] n = [.. layer.Skip(1).Select(int.Parse)];
            yield return Weight($"{layer[0]}.conv.weight", [n[1], n[0], n[2], n[3]]);
            foreach (string part in (string[])["weight", "bias", "running_mean", "running_var"])
                yield return Weight($"{layer[0]}.bn.{part}", [n[1]]);
        }
        yield return Weight("fc.weight", [1008, 2048]);
    }

    // As the tool makes them: convolutions times 1.5, linear layers positive.
    private static KeyValuePair<string, Tensor> Weight(string name, int[] shape)
    {
        Tensor tensor = ClosedFormWeights.Tensor(name, shape);
        if (shape.Length != 4) return KeyValuePair.Create(name, tensor);
        bool linear = name.StartsWith("lin", StringComparison.Ordinal);
        return KeyValuePair.Create(name, new Tensor(TensorType.Float32, shape, bytes =>
        {
            Span<float> values = MemoryMarshal.Cast<byte, float>(bytes);
            tensor.CopyTo(values);
            for (int i = 0; i < values.Length; i++) values[i] = 1.5f * (linear ? Math.Abs(values[i]) : values[i]);
        }));
    }

    private static float[] Pictures(int count, int size, string name) =>
        [.. Enumerable.Range(0, count * 3 * size * size).Select(i => (float)Drawn.Uniform(name, i))];

    private static float[] ToNhwc(float[] nchw, int count, int size)
    {
        float[] nhwc = new float[nchw.Length];
        for (int n = 0; n < count; n++)
        {
            for (int c = 0; c < 3; c++)
                for (int p = 0; p < size * size; p++) nhwc[(n * size * size + p) * 3 + c] = nchw[(n * 3 + c) * size * size + p];
        }

        return nhwc;
    }
}
