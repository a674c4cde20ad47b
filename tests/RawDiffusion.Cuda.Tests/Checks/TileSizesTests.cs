using System.Globalization;
using System.Text.RegularExpressions;
using RawDiffusion.Cuda.Checks;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Tests.Checks;

/// <summary>
/// Whatever a kernel cuts into tiles has cases, in each precision, of one less and of one more than whole tiles: where a bound is
/// wrong by one, these show it.
/// </summary>
public sealed partial class TileSizesTests
{
    /// <summary>What a kernel cuts, and into what: of the launch's macros.</summary>
    private sealed record Tile(string Name, Func<Macros, int> Extent, Func<Macros, int> Size);

    private static readonly Tile Vectors = new("vectors", m => m["COUNT"] / m["VECTOR"], _ => 256);
    private static readonly Tile Elements = new("elements", m => m["COUNT"], _ => 256);
    private static readonly Tile Channels = new("channels", m => m["C"], _ => 256);
    private static readonly Tile TilePixels = new("pixels", m => m["PIXELS"], m => m["TILE_PIXELS"]);
    private static readonly Tile Columns = new("columns", m => (m.Or("C", 0) + m.Or("C1", 0) + m.Or("C2", 0)) / m["VECTOR"], _ => 256);
    private static readonly Tile Owned = new("owned positions", m => m["POSITIONS"], m => 16 * m["ROW_TILES"] * m["WARPS"]);
    private static readonly Tile Streamed = new("streamed positions", m => m["POSITIONS"], m => m["STREAM"]);
    private static readonly Tile RowVectors = new("row vectors", m => m["VECTORS"], _ => 8);
    private static readonly Tile Depth = new("a latent's elements", m => m["D"], _ => 256);

    private static readonly Dictionary<string, Tile[]> Tiles = new()
    {
        ["activate_forward"] = [Vectors],
        ["activate_grad"] = [Vectors],
        // Pieces of 4096 elements, in a table: the layouts of TrainingCases have some of 4095 and 4097.
        ["adam_step"] = [],
        ["add_embedding_forward"] = [Vectors],
        ["add_embedding_grad_embedding"] = [TilePixels, Columns],
        ["add_forward"] = [Vectors],
        ["attention_forward"] = [Owned, Streamed],
        ["attention_grad_keys"] = [Owned, Streamed],
        ["attention_grad_queries"] = [Owned, Streamed],
        ["attention_grad_rows"] = [Owned, Streamed],
        ["avg_pool2d_forward"] = [Vectors],
        ["avg_pool2d_grad_input"] = [Vectors],
        ["batch_norm_forward"] = [Vectors],
        ["batch_norm_grad_affine"] = [TilePixels, Columns],
        ["batch_norm_grad_input"] = [Vectors],
        ["batch_norm_running"] = [Channels],
        ["batch_norm_statistics"] = [TilePixels, Columns],
        ["channel_sum"] = [new("rows", m => m["ROWS"], m => 256 / m["ACROSS"]),
        new("channels", m => m["CHANNELS"] / m["VECTOR"], m => m["ACROSS"])],
        ["concat_forward"] = [Vectors],
        ["conv2d_forward"] =
        [
            new("lines", m => m["OH"], m => m["TILE_H"]), new("pixels of a line", m => m["OW"], m => m["TILE_W"]), new(
                "outputs", m => m["O"], m => m["TILE_O"]),
            new("inputs", m => m["C"] + m["C2"], m => m["UNITS"] * m.Unit), new(
            "inputs of a skip", m => m.Or("S", 0) + m.Or("S2", 0), m => m["UNITS"] * m.Unit),
        ],
        ["conv2d_grad_weight"] =
        [
            new("lines", m => m["OH"], m => m["TILE_H"]), new("pixels of a line", m => m["OW"], m => m["TILE_W"]), new(
                "outputs", m => m["O"], m => m["TILE_O"]),
            new("inputs", m => m["C"], m => m["UNITS"] * m.Unit),
        ],
        ["conv2d_grad_weight_sum"] = [Vectors],
        ["conv2d_pack"] = [new("outputs", m => m["O"], m => m["PADDED_O"]), new("inputs", m => m["C"], m => m["CHUNK"])],
        ["denoise_average_step_forward"] =
        [
            new("lines", m => m["H"], _ => 8), new("pixels of a line", m => m["W"], _ => 8), new("inputs", m => m["C"], _ => 64), new(
                "outputs", m => m["O"], m => m["OUTPUTS"]),
        ],
        ["denoise_step_forward"] = [Vectors],
        ["dropout_forward"] = [Vectors],
        // As adam_step.
        ["gradient_norm"] = [],
        ["group_norm_affine"] = [TilePixels, Columns],
        ["group_norm_apply"] = [Vectors],
        ["group_norm_grad_affine"] = [Channels],
        ["group_norm_grad_film"] = [new("pairs", m => m["COUNT"] / 2, _ => 128)],
        ["group_norm_grad_input"] = [Vectors],
        ["group_norm_grad_sums"] = [TilePixels, Columns],
        ["pairwise_cosine_forward"] = [RowVectors, Depth],
        ["pairwise_cosine_grad"] = [RowVectors, Depth],
        ["linear_forward"] =
        [
            new("rows", m => m["ROWS"], m => m["TILE_ROWS"]), new("outputs", m => m["OUT"], _ => 16), new(
                "inputs", m => m["IN"] / m["VECTOR"], _ => 32),
        ],
        ["linear_grad_input"] =
        [
            new("rows", m => m["ROWS"], m => m["TILE_ROWS"]), new("outputs", m => m["OUT"], _ => 4), new(
                "inputs", m => m["IN"] / m["VECTOR"], _ => 32),
        ],
        ["linear_grad_weight"] = [new("outputs", m => m["OUT"], _ => 8), new("inputs", m => m["IN"] / m["VECTOR"], _ => 128)],
        ["loss_scale_update"] = [],
        ["sum_rows_forward"] = [Vectors],
        ["sum_rows_grad_input"] = [Vectors],
        ["mse_loss_forward"] = [Vectors],
        ["mse_loss_grad_prediction"] = [Vectors],
        ["next_step_forward"] = [],
        // As adam_step.
        ["pack_forward"] = [],
        ["pool2d_forward"] = [Vectors],
        ["random_normal_forward"] = [new("elements", m => m["COUNT"], _ => 1024), new("elements of a thread", m => m["COUNT"], _ => 4)],
        ["repeat_rows_forward"] = [Vectors],
        ["scale_rows_forward"] = [Vectors],
        ["slice_forward"] = [Vectors],
        ["table_row_forward"] = [Vectors],
        ["timestep_embedding_forward"] = [Elements],
        ["upsample_nearest_forward"] = [Vectors],
        ["upsample_nearest_grad_input"] = [Vectors],
    };

    [GeneratedRegex(@"__global__ void(?:\s+__launch_bounds__\((?:[^()]|\([^()]*\))*\))?\s+(\w+)\(")]
    private static partial Regex Kernels();

    [Test]
    public void Every_kernel_says_what_it_cuts()
    {
        string[] kernels = [.. KernelSources.Embedded.Names.SelectMany(
            name => Kernels().Matches(KernelSources.Embedded[name]).Select(m => m.Groups[1].Value))];
        Assert.That(Tiles.Keys, Is.EquivalentTo(kernels));
    }

    [Test]
    public void Every_tile_has_cases_of_one_less_and_one_more()
    {
        var missing = new List<string>();
        foreach (Precision precision in Enum.GetValues<Precision>())
        {
            ILookup<string, Macros> launches = Launches(precision).ToLookup(l => l.Kernel, l => l.Macros);
            foreach ((string kernel, Tile[] tiles) in Tiles)
            {
                foreach (Tile tile in tiles)
                {
                    (int Extent, int Size)[] cut = [
                        .. launches[kernel].Select(m => (tile.Extent(m), tile.Size(m))).Where(c => c.Item2 > 1)];
                    if (!cut.Any(c => c.Extent % c.Size == c.Size - 1)) missing.Add(Line("one less"));
                    // Where one tile holds all, nothing is more.
                    if (kernel != "conv2d_pack" && !cut.Any(c => c.Extent > c.Size && c.Extent % c.Size == 1))
                        missing.Add(Line("one more"));

                    string Line(string what) => $"{precision} {kernel}: {tile.Name} of {what} than whole tiles; there are "
                        + $"{string.Join(" ", cut.Select(c => $"{c.Extent}/{c.Size}").Distinct())}";
                }
            }
        }
        Assert.That(missing, Is.Empty, string.Join(Environment.NewLine, missing));
    }

    // Extents as numbers, tiles as check has them: those of kernels for any shape.
    private static IEnumerable<(string Kernel, Macros Macros)> Launches(Precision precision)
    {
        using var device = new CudaDevice(new IdleDriver(new KernelTarget(IsMachineCode: false, 80)), new KernelLister(new KernelList()),
            precision, specialize: true);
        foreach (KernelCase kernelCase in KernelCases.All)
        {
            (Graph graph, _, CompileOptions options) = KernelCheck.Build(new PreparedCase(kernelCase), reuseMemory: false);
            using CudaExecutable executable = device.Compile(graph, options, (_, shape) => ConvTiling.ChoosePortable(shape));
            foreach ((KernelVariant variant, _) in executable.Launches) yield return (variant.Kernel, new Macros(variant));
        }
    }

    private sealed class Macros(KernelVariant variant)
    {
        private readonly Dictionary<string, string> values = variant.Defines.ToDictionary(d => d.Name, d => d.Value);

        public int this[string name] => int.Parse(values[name], CultureInfo.InvariantCulture);

        /// <summary>Elements in 16 bytes of an operand.</summary>
        public int Unit => values["COMPUTE_T"] is "bf16" or "f16" ? 8 : 4;

        public int Or(string name, int other) => values.ContainsKey(name) ? this[name] : other;
    }
}
