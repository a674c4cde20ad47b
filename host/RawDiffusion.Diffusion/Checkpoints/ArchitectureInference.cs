using System.Globalization;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Checkpoints;

/// <summary>What the shapes of a checkpoint cannot tell; null members take the default.</summary>
/// <param name="ImageSize">Pixels; the default is the largest that the encoder fits, which is a multiple of 8.</param>
/// <param name="NumHeads">Attention heads of every block; excludes <paramref name="NumHeadChannels"/>.</param>
/// <param name="NumHeadChannels">Channels of one head; the default is the reference's 64.</param>
public sealed record ArchitectureOverrides(int? ImageSize = null, int? NumHeads = null, int? NumHeadChannels = null);

/// <summary>
/// Reads the architecture of a Decomp Diffusion checkpoint from the names and shapes of its tensors, then requires that
/// they are exactly that architecture's. The layout is that of <c>UNetModel</c> in the reference's model/unet.py.
/// </summary>
public static class ArchitectureInference
{
    private const int DefaultHeadChannels = 64;

    private const string DownBlocks = "input_blocks.", UpBlocks = "output_blocks.";

    // Far above any real width, and small enough that every shape derived from it stays within an int.
    private const int LargestDimension = 1 << 26;

    /// <summary>The architecture of an open checkpoint.</summary>
    /// <param name="file">The checkpoint; only names and shapes are read.</param>
    /// <param name="overrides">What shapes cannot tell.</param>
    /// <exception cref="CheckpointException">It is not such a model, or an override contradicts it.</exception>
    public static UNetConfig Infer(TensorFile file, ArchitectureOverrides? overrides = null) => Infer(ShapesOf(file), overrides);

    /// <summary>The architecture of a set of tensors.</summary>
    /// <param name="shapes">Name to shape of every tensor of the checkpoint.</param>
    /// <param name="overrides">What shapes cannot tell.</param>
    /// <exception cref="CheckpointException">It is not such a model, or an override contradicts it.</exception>
    public static UNetConfig Infer(
        IReadOnlyDictionary<string, IReadOnlyList<int>> shapes, ArchitectureOverrides? overrides = null)
    {
        overrides ??= new ArchitectureOverrides();
        var clues = new Clues(shapes);
        clues.Require("time_embed.0.weight", "output_blocks.0.0.in_layers.2.weight", "latent_encoder.15.weight");

        (int numResBlocks, int levels, bool resBlockUpDown) = Layout(clues);
        // The first residual block of each level: every level but the first begins after a change of resolution.
        string[] firsts = [.. Enumerable.Range(0, levels).Select(level => $"input_blocks.{1 + level * (numResBlocks + 1)}")];
        int[] widths = [.. firsts.Select(block => Width(clues, block))];
        int channels = clues.Dimension(1, "time_embed.0.weight");
        int latentDim = clues.Dimension(
            0, "time_embed.0.weight", "time_embed.0.bias", "time_embed.2.weight", "time_embed.2.bias");
        int encChannels = clues.Dimension(
            0, "latent_encoder.0.weight", "latent_encoder.0.bias", "latent_encoder.2.bn1.weight");
        var config = new UNetConfig
        {
            ImageSize = ImageSize(EncodedSize(clues, encChannels), overrides),
            ImageChannels = clues.Dimension(1, "input_blocks.0.0.weight", "latent_encoder.0.weight"),
            Channels = channels,
            ChannelMult = [.. widths.Select((width, level) => Multiple(firsts[level], width, channels))],
            NumResBlocks = numResBlocks,
            EmbDim = 2 * latentDim,
            EncChannels = encChannels,
            NumComponents = Components(clues, latentDim),
            AttentionDownsamples = [.. Enumerable.Range(0, levels)
                .Where(level => clues.HasModule($"{firsts[level]}.1.qkv") || clues.HasModule($"{firsts[level]}.1.norm"))
                .Select(level => 1 << level)],
            UseScaleShiftNorm = clues.Dimension(0, EmbeddingLayer("weight"), EmbeddingLayer("bias")) == 2 * widths[0],
            ResBlockUpDown = resBlockUpDown,
            NumHeads = overrides.NumHeads,
            NumHeadChannels = overrides.NumHeadChannels,
        };

        // The shapes first: heads and image size are worth asking for only when the file is such a model.
        Require(shapes, config);
        if (config.NumHeads is null && config.NumHeadChannels is null) config = WithDefaultHeads(config);
        config.Validate();
        return config;
    }

    /// <summary>Requires that a file's tensors are exactly those of an architecture.</summary>
    /// <param name="file">Only names and shapes are read.</param>
    /// <param name="config">The architecture.</param>
    /// <exception cref="CheckpointException">They are not; the message lists what is missing, unexpected and mis-shaped.</exception>
    public static void Require(TensorFile file, UNetConfig config) => Require(ShapesOf(file), config);

    private static void Require(IReadOnlyDictionary<string, IReadOnlyList<int>> shapes, UNetConfig config)
    {
        config.ValidateWidths();
        IReadOnlyList<NetworkTensor> tensors = DecompTensors.Of(config);
        TensorCheck.Require(tensors, shapes,
            $"the architecture that its shapes suggest ({config.Channels} channels x ({string.Join(",", config.ChannelMult)}), "
            + $"{config.NumResBlocks} residual blocks, {config.NumComponents} components, {tensors.Count} tensors)",
            "Decomp Diffusion");
    }

    private static Dictionary<string, IReadOnlyList<int>> ShapesOf(TensorFile file)
    {
        var shapes = new Dictionary<string, IReadOnlyList<int>>(file.Names.Count, StringComparer.Ordinal);
        foreach (string name in file.Names) shapes.Add(name, file[name].Shape);
        return shapes;
    }

    // The way up tells the layout without ambiguity: each level has NumResBlocks + 1 blocks there, and the last block of
    // each level but the last one holds an upsampling. (On the way down a residual block that halves the resolution
    // looks like any other.)
    private static (int NumResBlocks, int Levels, bool ResBlockUpDown) Layout(Clues clues)
    {
        int blocks = clues.HighestIndex(UpBlocks) + 1;
        for (int block = 0; block < blocks; block++)
        {
            foreach (string child in new[] { $"{UpBlocks}{block}.1", $"{UpBlocks}{block}.2" })
            {
                bool byResBlock = clues.HasModule($"{child}.in_layers");
                if (byResBlock || clues.HasModule($"{child}.conv")) return Divided(blocks, block, byResBlock);
            }
        }
        return Divided(blocks, blocks - 1, resBlockUpDown: false);
    }

    private static (int NumResBlocks, int Levels, bool ResBlockUpDown) Divided(
        int blocks, int numResBlocks, bool resBlockUpDown)
    {
        // Rounded up: a file that lost blocks at the end is then told which tensors are missing.
        int levels = (blocks + numResBlocks) / (numResBlocks + 1);
        if (numResBlocks is < 1 or > UNetConfig.MostResBlocks || levels > UNetConfig.MostLevels)
        {
            throw new CheckpointException(
                $"expected 1 to {UNetConfig.MostLevels} levels of 1 to {UNetConfig.MostResBlocks} residual blocks, and one more in each in "
                + $"output_blocks, found {blocks} blocks in levels of {numResBlocks + 1}: this is not a Decomp Diffusion checkpoint");
        }
        return (numResBlocks, levels, resBlockUpDown);
    }

    private static string EmbeddingLayer(string parameter) => $"input_blocks.1.0.emb_layers.1.{parameter}";

    private static int Width(Clues clues, string block) => clues.Dimension(
        0,
        $"{block}.0.out_layers.3.weight",
        $"{block}.0.out_layers.3.bias",
        $"{block}.0.out_layers.0.weight",
        $"{block}.0.out_layers.0.bias");

    private static int Multiple(string block, int width, int channels)
    {
        if (width % channels == 0) return width / channels;
        throw new CheckpointException(
            $"expected the rows of {block}.0.out_layers.3.weight to be a multiple of the {channels} columns of " +
            $"time_embed.0.weight, found {width}: the checkpoint is damaged or another network's");
    }

    private static int Components(Clues clues, int latentDim)
    {
        int rows = clues.Dimension(0, "latent_encoder.15.bias", "latent_encoder.15.weight");
        if (rows % latentDim == 0) return rows / latentDim;
        throw new CheckpointException(
            $"expected the rows of latent_encoder.15.weight to be a multiple of the {latentDim} rows of " +
            $"time_embed.0.weight (one component's latent), found {rows}: the checkpoint is damaged or another network's");
    }

    private static int EncodedSize(Clues clues, int encChannels)
    {
        int columns = clues.Dimension(1, "latent_encoder.15.weight");
        long lastWidth = (long)encChannels << UNetConfig.EncoderDepth;
        int size = (int)Math.Round(Math.Sqrt((double)columns / lastWidth));
        if (size > 0 && lastWidth * size * size == columns) return size;
        throw new CheckpointException(
            $"expected latent_encoder.15.weight to have {lastWidth} x s x s columns (8 times the rows of " +
            $"latent_encoder.0.weight, on a square feature map), found {columns}: the checkpoint is " +
            "damaged or another network's");
    }

    private static int ImageSize(int encodedSize, ArchitectureOverrides overrides)
    {
        int largest = encodedSize << UNetConfig.EncoderDepth;
        int smallest = ((encodedSize - 1) << UNetConfig.EncoderDepth) + 1;
        int size = overrides.ImageSize ?? largest;
        if (size >= smallest && size <= largest) return size;
        throw new CheckpointException(
            $"--image-size {size} does not fit the checkpoint: its encoder ends in {encodedSize} x {encodedSize} pixels, " +
            $"so the images have {smallest} to {largest} pixels a side");
    }

    private static UNetConfig WithDefaultHeads(UNetConfig config)
    {
        foreach (int width in config.AttentionWidths)
        {
            if (width % DefaultHeadChannels == 0) continue;
            throw new CheckpointException(
                $"the checkpoint cannot tell its attention heads, and the usual {DefaultHeadChannels} channels a head do " +
                $"not divide an attention width of {width}: give --num-heads or --num-head-channels as in training");
        }
        return config with { NumHeadChannels = DefaultHeadChannels };
    }

    private sealed class Clues
    {
        private readonly IReadOnlyDictionary<string, IReadOnlyList<int>> shapes;

        // Of the blocks: "output_blocks.7.0.in_layers" of "output_blocks.7.0.in_layers.0.weight", present as long as one tensor of it is.
        private readonly HashSet<string> modules = new(StringComparer.Ordinal);

        public Clues(IReadOnlyDictionary<string, IReadOnlyList<int>> shapes)
        {
            this.shapes = shapes;
            foreach (string name in shapes.Keys)
            {
                if (name.StartsWith(UpBlocks, StringComparison.Ordinal) || name.StartsWith(DownBlocks, StringComparison.Ordinal))
                    modules.Add(string.Join('.', name.Split('.', 5).Take(4)));
            }
        }

        public bool HasModule(string name) => modules.Contains(name);

        public void Require(params string[] names)
        {
            string[] missing = [.. names.Where(name => !shapes.ContainsKey(name))];
            if (missing.Length == 0) return;
            string found = shapes.Count == 0
                ? "no tensors"
                : $"{shapes.Count} tensors: {TensorCheck.List([.. shapes.Keys])}";
            throw new CheckpointException(
                "expected a Decomp Diffusion checkpoint, but tensors that tell its architecture are missing: " +
                $"{TensorCheck.List(missing)}; found {found}; use a checkpoint of the whole network");
        }

        // The dimension that most of the tensors have, the first named in a tie. A single mis-shaped tensor is outvoted,
        // and then named by the comparison with the architecture, instead of making all the others look wrong.
        public int Dimension(int axis, params string[] names)
        {
            if (!names.Any(shapes.ContainsKey)) Require(names);
            int[] votes = [.. names
                .Where(name => shapes.TryGetValue(name, out IReadOnlyList<int>? shape)
                    && axis < shape.Count && shape[axis] is >= 1 and <= LargestDimension)
                .Select(name => shapes[name][axis])];
            if (votes.Length > 0) return votes.GroupBy(vote => vote).MaxBy(group => group.Count())!.Key;
            string present = names.First(shapes.ContainsKey);
            throw new CheckpointException(
                $"expected a size of at least 1 in dimension {axis} of {present}, found the shape " +
                $"{TensorCheck.Text(shapes[present])}: the checkpoint is damaged or another network's");
        }

        // Of names like "output_blocks.7.0.in_layers.0.weight"; -1 when there is none.
        public int HighestIndex(string prefix)
        {
            int highest = -1;
            foreach (string name in shapes.Keys)
            {
                if (!name.StartsWith(prefix, StringComparison.Ordinal)) continue;
                string index = name[prefix.Length..].Split('.', 2)[0];
                // No file has more blocks than tensors: a larger index is somebody's joke and left for the comparison.
                if (int.TryParse(index, NumberStyles.None, CultureInfo.InvariantCulture, out int block) && block < shapes.Count)
                    highest = Math.Max(highest, block);
            }
            return highest;
        }
    }
}
