using System.Text.RegularExpressions;
using RawDiffusion.Cuda.Compilation;

namespace RawDiffusion.Cuda.Tests.Compilation;

/// <summary>
/// Capitals are macros: an extent C is the number 64 where kernels are specialised, and a template parameter of that name
/// then no longer compiles.
/// </summary>
public sealed partial class KernelNamesTests
{
    [Test]
    public void No_name_that_a_kernel_declares_is_in_capitals()
    {
        string[] found = [.. KernelSources.Embedded.Names.SelectMany(
            file => Declared(KernelSources.Embedded[file]).Select(name => $"{file}: {name}"))];
        Assert.That(found, Is.Empty, "rename: macros alone are in capitals");
    }

    [TestCase("template <typename C> void f();", "C")]
    [TestCase("template <int Rows, typename T2 = OPERAND_T> void f();", "T2")]
    [TestCase("constexpr u32 FULL_WARP = 0xffffffffu;", "FULL_WARP")]
    [TestCase("void f(const X_T* x, float* W) { }", "W")]
    [TestCase("struct N { int x; };", "N")]
    [TestCase("typedef COMPUTE_T Compute; // typename C\n#define SPREAD_NONE 0\nint c = (int)C * OH + f<int>(W);", null)]
    public void Declarations_are_found(string source, string? name) =>
        Assert.That(Declared(source), Is.EqualTo(name is null ? [] : new[] { name }));

    private static IEnumerable<string> Declared(string source) =>
        source.Split('\n').Where(line => !line.TrimStart().StartsWith('#')).SelectMany(line => Declaration().Matches(line.Split("//")[0]))
        .Select(m => m.Groups[1].Value);

    [GeneratedRegex(@"\b(?:typename|class|struct|auto|void|bool|int|unsigned|float[24]?|u(?:8|16|32|64)|size_t)\b[ *&]+"
        + @"(?:__restrict__ +)?([A-Z][A-Z0-9_]*)\b")]
    private static partial Regex Declaration();
}
