using RawDiffusion.Cuda.Checks;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Cuda.Tests.Compilation;

namespace RawDiffusion.Cuda.Tests.Checks;

/// <summary>Faults planted in the kernels themselves are found by the cases of <c>check</c>, which find nothing without them.</summary>
public sealed class PlantedKernelFaultTests
{
    [TestCase("common.cuh", "ChannelSum [1, 1]", "atomicInc(counter, blocks - 1) ==", "atomicInc(counter, blocks) ==",
        TestName = "A counter that is not zero again")]
    [TestCase("gradient_norm.cu", "GradientNorm [19200]", "for (int i = threadIdx.x; i < gridDim.x; i += 256) sum",
    "for (int i = threadIdx.x; i < min(256, gridDim.x); i += 256) sum", TestName = "Pieces beyond those of a block's threads")]
    [TestCase("adam.cu", "Adam", "clip = clip > 1.f ? 1.f : clip;", "", TestName = "Gradients scaled up to the norm")]
    [TestCase("adam.cu", "Adam", "clip = clip > 1.f ? 1.f : clip;", "clip = fminf(clip, 1.f);",
        TestName = "A norm that is not a number, hidden")]
    [TestCase("adam.cu", "Adam", "(*norm + 1e-6f)", "(*norm + 1e-5f)", TestName = "Another epsilon beside the norm")]
    [TestCase("adam.cu", "Adam", "g *= clip;\n        if (!DECOUPLED) g = fmaf(decay, p, g);",
        "if (!DECOUPLED) g = fmaf(decay, p, g);\n        g *= clip;", TestName = "Decay that is clipped")]
    [TestCase("adam.cu", "Adam", "rsqrtf(-expm1f(t * log_beta2))", "rsqrtf(1.f - __expf(t * log_beta2))",
    TestName = "A power that loses the first digits")]
    [TestCase("pairwise_cosine.cu", "PairwiseCosine [3, 132]", "if (length < epsilon) total +=", "if (false) total +=",
    TestName = "Vectors too short, counted as others")]
    [TestCase("pairwise_cosine.cu", "PairwiseCosineGrad [3, 132]", "if (scaled >= 1.f / epsilon) along = 0.f;", "",
    TestName = "Vectors too short, their gradient turned")]
    [TestCase("pool2d.cu", "Pool2d [2, 3, 6, 8]", "left = max(left, 0);", "left = max(left, left == 0 ? PADDING : 0);",
    TestName = "A window that begins at the edge, cut")]
    [TestCase("dropout.cu", "Dropout [1, 3, 7, 2]", "(u32)(block >> 32), *step, 0)", "(u32)(block >> 32), 3, 0)",
    TestName = "The same mask in each step")]
    [TestCase("dropout.cu", "Dropout [2, 3, 5, 8]", "w >= threshold ? v[k] * factor : 0.f", "v[k] * (w >= threshold ? factor : 0.f)",
    TestName = "Not a number, dropped but kept")]
    [TestCase("conv2d_patch.cuh", "Conv2d [1, 5, 9, 33] [21, 3, 3, 40] [21] [1, 5, 9, 7] - - -", "if (c < input.channels) load<Source",
    "if (c <= input.channels) load<Source", Precision.Bf16, TestName = "The first channel of a second tensor, in another format")]
    [TestCase("attention.cu", "AttentionGrad [4, 1, 2, 192]", "softmax + from, inside)", "softmax + from, true)",
    TestName = "Queries beyond the end with a weight")]
    [TestCase("attention.cu", "AttentionGrad [2, 8, 8, 192] [2, 8, 8, 64]", "settle<block_rows, DY_T>(cotangents);", "", Precision.Tf32,
    TestName = "Cotangents cut off instead of rounded")]
    [TestCase("attention_tiles.cuh", "Attention [1, 7, 9, 384]", "if (first + STREAM <= positions) return;",
    "if (first + STREAM <= positions + 1) return;", TestName = "One key beyond the end of 63")]
    [TestCase("random_normal.cu", "RandomNormal", "philox_normal(start / 4 + block, *step",
    "philox_normal(start / 4 + block & 0x3ffff, *step", TestName = "Noise that begins again after a million elements")]
    [TestCase("norm_statistics.cuh", "GroupNormAffine [2, 30, 31, 19]", "float d = p[0] - mean;", "float d = __ldg(p) - mean;",
    TestName = "Statistics of other blocks through the read-only cache")]
    [TestCase("adam.cu", "Adam", "} else {\n            for (int k = i; k < piece.count; k++) {",
    "} else {\n            for (int k = i; k < i + 4 && i < piece.count; k++) {", TestName = "Adam between two parameters")]
    [TestCase("conv2d.cu", "GraphStatistics", "float stored = to_float(from_float<Y_T>(v[k]));", "float stored = v[k];", Precision.Bf16,
    TestName = "Statistics of what is not rounded yet")]
    [TestCase("add.cu", "Add [524", "load<B_T, VECTOR>(b + i, w);",
    "load<B_T, VECTOR>((const B_T*)((const char*)b + (int)(i * (u32)sizeof(B_T))), w);", TestName = "An offset past 2^31 bytes")]
    [TestCase("dropout.cu", "Dropout [1, 91, 241, 3]", "u64 block = first + i / 4;", "u64 block = first + (i & 0xffff) / 4;",
    TestName = "A mask that begins again after 16 bits")]
    [TestCase("gradient_norm.cu", "GradientNorm", "for (int k = i; k < piece.count; k++) sum",
    "for (int k = i; k < (piece.count + 3 & ~3); k++) sum", TestName = "The norm of what is between two parameters")]
    [TestCase("norm_statistics.cuh", "BatchNormStatistics", "running[k].add(v[k]);", "running[k].add(to_float(from_float<bf16>(v[k])));",
    TestName = "Elements rounded before their statistics")]
    [TestCase("loss_scale.cu", "LossScale", "if (2.f * scale < infinity) scale *= 2.f;", "scale *= 2.f;",
    TestName = "A scale that becomes infinite")]
    [TestCase("add_embedding.cu", "AddEmbedding [524", "int pixel = i / C;", "int pixel = (int)((float)i / C);",
    TestName = "An index of 24 bits")]
    public void A_planted_fault_is_found(string file, string cases, string from, string to, Precision precision = Precision.Fp32)
    {
        Nvrtc nvrtc = Compiler.Nvrtc;
        var files = KernelSources.Embedded.Names.ToDictionary(name => name, name => KernelSources.Embedded[name]);
        Assert.That(files[file].Split(from), Has.Length.EqualTo(2), "the change applies once");
        Assert.That(IsFaulty(KernelSources.Embedded), Is.False);
        files[file] = files[file].Replace(from, to, StringComparison.Ordinal);
        Assert.That(IsFaulty(new KernelSources(files)), Is.True);

        bool IsFaulty(KernelSources sources)
        {
            var compiler = new KernelCompiler(sources, nvrtc, KernelCache.OfUser);
            var driver = new EmulatedDriver(new EmulatorOptions { Threads = 1, Collect = true, ScatterBlocks = true });
            using var device = new CudaDevice(driver, compiler, precision);
            KernelCase[] chosen = [.. KernelCases.All.Where(c => c.ToString().StartsWith(cases, StringComparison.Ordinal))];
            LargeCase[] large = [.. LargeCases.All.Where(c => c.ToString().StartsWith(cases, StringComparison.Ordinal))];
            Assert.That(chosen.Length + large.Length, Is.Positive);
            return chosen.Any(c => Finds(() => KernelCheck.Run(device, new PreparedCase(c), new HashSet<string>())!)) || large.Any(c =>
            {
                driver.Blocks = c.Blocks;
                return Finds(() => KernelCheck.Run(device, c));
            });

            bool Finds(Func<CaseResult> run)
            {
                CaseResult result = run();
                return !result.IsClose || result.Drift > 0 || !result.Repeats || driver.Findings.Count > 0;
            }
        }
    }
}
