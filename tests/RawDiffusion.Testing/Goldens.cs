using System.Text.Json;
using RawDiffusion.Formats;

namespace RawDiffusion.Testing;

/// <summary>One entry of a golden model's state dict.</summary>
/// <param name="Name">The tensor's name.</param>
/// <param name="Shape">Its dimensions in PyTorch's order.</param>
/// <param name="IsBuffer">Whether it is a batch norm's running statistic rather than a parameter.</param>
public sealed record ManifestEntry(string Name, IReadOnlyList<int> Shape, bool IsBuffer);

/// <summary>
/// The golden data in tests/goldens, computed by the reference's PyTorch code; its README.md says what each tensor is.
/// </summary>
public static class Goldens
{
    private static readonly Lazy<string> LazyFolder = new(FindFolder);
    private static readonly Lazy<JsonElement> Manifests = new(() => ReadJson("manifest.json"));
    private static readonly Lazy<JsonElement> Tolerances = new(() => ReadJson("tolerances.json"));

    /// <summary>The folder tests/goldens of the repository that the running test was built from.</summary>
    public static string Folder => LazyFolder.Value;

    /// <summary>Full path of a golden file.</summary>
    /// <param name="file">Its name below tests/goldens, such as <c>A.pt</c>.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    public static string PathOf(string file)
    {
        string path = Path.Combine(Folder, file);
        return File.Exists(path) ? path : throw new FileNotFoundException($"no golden file {path}");
    }

    /// <summary>Opens a golden safetensors file; the caller disposes it.</summary>
    /// <param name="name">Its name without extension: a configuration (A, B, C, tiny_cf), <c>ops</c>, <c>schedules</c>.</param>
    public static TensorFile Open(string name) => SafeTensors.Open(PathOf($"{name}.safetensors"));

    /// <summary>All state-dict entries of a golden model, in the reference's order.</summary>
    /// <param name="config">A, B, C or tiny_cf.</param>
    public static IReadOnlyList<ManifestEntry> Manifest(string config) =>
        [.. Manifests.Value.GetProperty(config).EnumerateArray().Select(entry => new ManifestEntry(
            entry.GetProperty("name").GetString()!,
            [.. entry.GetProperty("shape").EnumerateArray().Select(dimension => dimension.GetInt32())],
            entry.GetProperty("kind").GetString() == "buffer"))];

    /// <summary>What a float32 implementation should meet for a golden tensor: an absolute tolerance.</summary>
    /// <param name="config">A, B, C, tiny_cf or A_train.</param>
    /// <param name="tensor">The tensor's name in the golden file.</param>
    /// <exception cref="KeyNotFoundException">No tolerance was measured for it.</exception>
    public static Tolerance ToleranceOf(string config, string tensor)
    {
        if (Tolerances.Value.GetProperty(config).TryGetProperty(tensor, out JsonElement entry))
            return Tolerance.Absolute(entry.GetProperty("tol_abs").GetDouble());
        // Not measured one by one (README): the error after 50 steps of components 1 to 3 of the largest model.
        if (config == "C" && tensor.StartsWith("ddim.", StringComparison.Ordinal)) return Tolerance.Absolute(1e-3);
        throw new KeyNotFoundException($"tolerances.json has no tolerance for '{tensor}' of {config}");
    }

    /// <summary>The largest difference between the reference's float32 and float64 runs for a golden tensor.</summary>
    /// <param name="config">A, B, C, tiny_cf or A_train.</param>
    /// <param name="tensor">The tensor's name in the golden file.</param>
    public static double RoundingOf(string config, string tensor) =>
        Tolerances.Value.GetProperty(config).GetProperty(tensor).GetProperty("f32_vs_f64_max").GetDouble();

    private static string FindFolder()
    {
        string start = AppContext.BaseDirectory;
        for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "RawDiffusion.sln")))
                return Path.Combine(folder.FullName, "tests", "goldens");
        }
        throw new DirectoryNotFoundException($"no folder above {start} holds RawDiffusion.sln, so the goldens cannot be found");
    }

    private static JsonElement ReadJson(string file)
    {
        using var document = JsonDocument.Parse(File.ReadAllBytes(PathOf(file)));
        return document.RootElement.Clone();
    }
}
