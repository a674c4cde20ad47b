using System.Globalization;
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

    // Far above any real width, and small enough that every shape derived from it stays within an int.
    private const int LargestDimension = 1 << 26;

    /// <summary>The architecture of an open checkpoint.</summary>
    /// <param name="file">The checkpoint; only names and shapes are read.</param>
    /// <param name="overrides">What shapes cannot tell.</param>
    /// <exception cref="CheckpointException">It is not such a model, or an override contradicts it.</exception>
    public static UNetConfig Infer(TensorFile file, ArchitectureOverrides? overrides = null)
    {
        var shapes = new Dictionary<string, IReadOnlyList<int>>(StringComparer.Ordinal);
        foreach (string name in file.Names) shapes.Add(name, file[name].Shape);
        return Infer(shapes, overrides);
    }

    /// <summary>The architecture of a set of tensors.</summary>
    /// <param name="shapes">Name to shape of every tensor of the checkpoint.</param>
    /// <param name="overrides">What shapes cannot tell.</param>
    /// <exception cref="CheckpointException">It is not such a model, or an override contradicts it.</exception>
    public static UNetConfig Infer(
        IReadOnlyDictionary<string, IReadOnlyList<int>> shapes, ArchitectureOverrides? overrides = null)
    {
        overrides ??= new ArchitectureOverrides();
        var clues = new Clues(shapes);
        clues.Require(
            "time_embed.0.weight",
            "input_blocks.0.0.weight",
            "input_blocks.1.0.emb_layers.1.weight",
            "output_blocks.0.0.in_layers.2.weight",
            "latent_encoder.0.weight",
            "latent_encoder.15.weight");

        (int numResBlocks, int levels, bool resBlockUpDown) = Layout(clues);
        // The first residual block of each level: every level but the first begins after a change of resolution.
        string[] levelBlocks = [.. Enumerable.Range(0, levels).Select(level => $"input_blocks.{1 + level * (numResBlocks + 1)}")];
        clues.Require([.. levelBlocks.Select(block => $"{block}.0.out_layers.3.weight")]);

        int channels = clues.Dimension("time_embed.0.weight", rank: 2, axis: 1);
        int latentDim = clues.Dimension("time_embed.0.weight", rank: 2, axis: 0);
        int encChannels = clues.Dimension("latent_encoder.0.weight", rank: 4, axis: 0);
        var config = new UNetConfig
        {
            ImageSize = ImageSize(EncodedSize(clues, encChannels), overrides),
            ImageChannels = clues.Dimension("input_blocks.0.0.weight", rank: 4, axis: 1),
            Channels = channels,
            ChannelMult = [.. levelBlocks.Select(block => Multiple(clues, $"{block}.0.out_layers.3.weight", channels))],
            NumResBlocks = numResBlocks,
            EmbDim = 2 * latentDim,
            EncChannels = encChannels,
            NumComponents = Components(clues, latentDim),
            AttentionDownsamples = [.. Enumerable.Range(0, levels)
                .Where(level => clues.Has($"{levelBlocks[level]}.1.qkv.weight"))
                .Select(level => 1 << level)],
            UseScaleShiftNorm = HasScaleShift(clues),
            ResBlockUpDown = resBlockUpDown,
            NumHeads = overrides.NumHeads,
            NumHeadChannels = overrides.NumHeadChannels,
        };

        // The shapes first: heads and image size are worth asking for only when the file is such a model.
        StateDictCheck.Require(config, shapes);
        if (config.NumHeads is null && config.NumHeadChannels is null) config = WithDefaultHeads(config);
        config.Validate();
        return config;
    }

    // The way up tells the layout without ambiguity: each level has NumResBlocks + 1 blocks there, and the last block of
    // each level but the last one holds an upsampling. (On the way down a residual block that halves the resolution
    // looks like any other.)
    private static (int NumResBlocks, int Levels, bool ResBlockUpDown) Layout(Clues clues)
    {
        int blocks = clues.HighestIndex("output_blocks.") + 1;
        for (int block = 0; block < blocks; block++)
        {
            foreach (string child in new[] { $"output_blocks.{block}.1", $"output_blocks.{block}.2" })
            {
                bool byResBlock = clues.Has($"{child}.in_layers.2.weight");
                if (byResBlock || clues.Has($"{child}.conv.weight")) return Divided(blocks, block, byResBlock);
            }
        }
        return Divided(blocks, blocks - 1, resBlockUpDown: false);
    }

    private static (int NumResBlocks, int Levels, bool ResBlockUpDown) Divided(
        int blocks, int numResBlocks, bool resBlockUpDown)
    {
        // Rounded up: a file that lost blocks at the end is then told which tensors are missing.
        int levels = (blocks + numResBlocks) / (numResBlocks + 1);
        if (numResBlocks < 1 || levels > 16)
        {
            throw new CheckpointException(
                $"expected 1 to 16 levels of residual blocks in output_blocks, found {blocks} blocks in levels of " +
                $"{numResBlocks + 1}: this is not a Decomp Diffusion checkpoint");
        }
        return (numResBlocks, levels, resBlockUpDown);
    }

    private static int Multiple(Clues clues, string name, int channels)
    {
        int width = clues.Dimension(name, rank: 4, axis: 0);
        if (width % channels == 0) return width / channels;
        throw new CheckpointException(
            $"expected the rows of {name} to be a multiple of the {channels} columns of time_embed.0.weight, " +
            $"found {width}: the checkpoint is damaged or another network's");
    }

    private static bool HasScaleShift(Clues clues) =>
        clues.Dimension("input_blocks.1.0.emb_layers.1.weight", rank: 2, axis: 0)
        == 2 * clues.Dimension("input_blocks.1.0.out_layers.3.weight", rank: 4, axis: 0);

    private static int Components(Clues clues, int latentDim)
    {
        int rows = clues.Dimension("latent_encoder.15.weight", rank: 2, axis: 0);
        if (rows % latentDim == 0) return rows / latentDim;
        throw new CheckpointException(
            $"expected the rows of latent_encoder.15.weight to be a multiple of the {latentDim} rows of " +
            $"time_embed.0.weight (one component's latent), found {rows}: the checkpoint is damaged or another network's");
    }

    private static int EncodedSize(Clues clues, int encChannels)
    {
        int columns = clues.Dimension("latent_encoder.15.weight", rank: 2, axis: 1);
        long lastWidth = (long)encChannels << UNetConfig.EncoderDepth;
        int size = (int)Math.Round(Math.Sqrt((double)columns / lastWidth));
        if (size > 0 && lastWidth * size * size == columns) return size;
        throw new CheckpointException(
            $"expected latent_encoder.15.weight to have {lastWidth} x s x s columns (8 times the rows of " +
            $"latent_encoder.0.weight, on a square feature map), found {columns}: the checkpoint is damaged or another network's");
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

    private sealed class Clues(IReadOnlyDictionary<string, IReadOnlyList<int>> shapes)
    {
        public bool Has(string name) => shapes.ContainsKey(name);

        public void Require(params string[] names)
        {
            string[] missing = [.. names.Where(name => !Has(name))];
            if (missing.Length == 0) return;
            string found = shapes.Count == 0 ? "no tensors" : $"{shapes.Count} tensors: {StateDictCheck.List([.. shapes.Keys])}";
            throw new CheckpointException(
                "expected a Decomp Diffusion checkpoint, but tensors that tell its architecture are missing: " +
                $"{StateDictCheck.List(missing)}; found {found}; use a checkpoint of the whole network");
        }

        public int Dimension(string name, int rank, int axis)
        {
            IReadOnlyList<int> shape = shapes[name];
            if (shape.Count == rank && shape[axis] is >= 1 and <= LargestDimension) return shape[axis];
            throw new CheckpointException(
                $"expected {name} to have {rank} dimensions of at least 1, found {StateDictCheck.Text(shape)}: " +
                "the checkpoint is damaged or another network's");
        }

        // Of names like "output_blocks.7.0.in_layers.0.weight"; -1 when there is none.
        public int HighestIndex(string prefix)
        {
            int highest = -1;
            foreach (string name in shapes.Keys)
            {
                if (!name.StartsWith(prefix, StringComparison.Ordinal)) continue;
                string rest = name[prefix.Length..];
                int dot = rest.IndexOf('.', StringComparison.Ordinal);
                // No file has more blocks than tensors: a larger index is somebody's joke and left for the comparison.
                if (dot > 0
                    && int.TryParse(rest[..dot], NumberStyles.None, CultureInfo.InvariantCulture, out int index)
                    && index < shapes.Count)
                {
                    highest = Math.Max(highest, index);
                }
            }
            return highest;
        }
    }
}
