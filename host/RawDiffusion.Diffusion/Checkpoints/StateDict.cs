namespace RawDiffusion.Diffusion.Checkpoints;

/// <summary>One tensor that a checkpoint of a given architecture holds.</summary>
/// <param name="Name">Its name in the PyTorch state dict.</param>
/// <param name="Shape">Its dimensions in PyTorch's order (convolutions are [out, in, height, width]); empty for a scalar.</param>
/// <param name="IsBuffer">Whether it is a running statistic of a batch norm rather than a trained parameter.</param>
public sealed record StateDictEntry(string Name, IReadOnlyList<int> Shape, bool IsBuffer)
{
    /// <summary>Number of elements.</summary>
    public long Count => Shape.Aggregate(1L, (product, dimension) => product * dimension);
}

/// <summary>
/// The tensors of a network, from its architecture: what <c>UNetModel(...).state_dict()</c> of the reference's
/// model/unet.py holds, in its order.
/// </summary>
public static class StateDict
{
    /// <summary>All entries, in the reference's order.</summary>
    /// <param name="config">The architecture.</param>
    public static IReadOnlyList<StateDictEntry> Of(UNetConfig config)
    {
        var writer = new Writer(config);
        writer.TimeEmbedding();
        writer.UNet();
        writer.LatentEncoder();
        return writer.Entries;
    }

    private sealed class Writer(UNetConfig config)
    {
        private readonly List<StateDictEntry> entries = [];

        public IReadOnlyList<StateDictEntry> Entries => entries;

        public void TimeEmbedding()
        {
            Linear("time_embed.0", config.LatentDim, config.Channels);
            Linear("time_embed.2", config.LatentDim, config.LatentDim);
        }

        public void UNet()
        {
            IReadOnlyList<int> widths = config.Widths;
            int levels = widths.Count;
            int width = widths[0];
            // Widths of the feature maps that the way up takes back, last first.
            var skips = new Stack<int>();

            int block = 0;
            Conv($"input_blocks.{block++}.0", width, config.ImageChannels, kernel: 3);
            skips.Push(width);
            for (int level = 0; level < levels; level++)
            {
                for (int i = 0; i < config.NumResBlocks; i++, block++)
                {
                    ResBlock($"input_blocks.{block}.0", width, widths[level]);
                    width = widths[level];
                    if (config.HasAttention(level)) Attention($"input_blocks.{block}.1", width);
                    skips.Push(width);
                }
                if (level == levels - 1) continue;
                if (config.ResBlockUpDown) ResBlock($"input_blocks.{block}.0", width, width);
                else Conv($"input_blocks.{block}.0.op", width, width, kernel: 3);
                block++;
                skips.Push(width);
            }

            ResBlock("middle_block.0", width, width);
            Attention("middle_block.1", width);
            ResBlock("middle_block.2", width, width);

            block = 0;
            for (int level = levels - 1; level >= 0; level--)
            {
                for (int i = 0; i <= config.NumResBlocks; i++, block++)
                {
                    ResBlock($"output_blocks.{block}.0", width + skips.Pop(), widths[level]);
                    width = widths[level];
                    if (config.HasAttention(level)) Attention($"output_blocks.{block}.1", width);
                    if (level == 0 || i < config.NumResBlocks) continue;
                    string up = $"output_blocks.{block}.{(config.HasAttention(level) ? 2 : 1)}";
                    if (config.ResBlockUpDown) ResBlock(up, width, width);
                    else Conv($"{up}.conv", width, width, kernel: 3);
                }
            }

            Norm("out.0", width);
            Conv("out.2", config.ImageChannels, width, kernel: 3);
        }

        public void LatentEncoder()
        {
            int width = config.EncChannels;
            Conv("latent_encoder.0", width, config.ImageChannels, kernel: 3);
            // Activations take the odd indices of the Sequential.
            int index = 2;
            for (int i = 0; i < UNetConfig.EncoderDepth; i++, index += 4)
            {
                BasicBlock($"latent_encoder.{index}", width);
                Conv($"latent_encoder.{index + 2}", 2 * width, width, kernel: 3);
                width *= 2;
            }
            // The index after the last activation is Flatten.
            Linear(
                $"latent_encoder.{index + 1}",
                config.NumComponents * config.LatentDim,
                width * config.EncodedSize * config.EncodedSize);
        }

        private void ResBlock(string name, int inputs, int outputs)
        {
            Norm($"{name}.in_layers.0", inputs);
            Conv($"{name}.in_layers.2", outputs, inputs, kernel: 3);
            Linear($"{name}.emb_layers.1", config.UseScaleShiftNorm ? 2 * outputs : outputs, config.EmbDim);
            Norm($"{name}.out_layers.0", outputs);
            Conv($"{name}.out_layers.3", outputs, outputs, kernel: 3);
            if (inputs != outputs) Conv($"{name}.skip_connection", outputs, inputs, kernel: 1);
        }

        private void Attention(string name, int width)
        {
            Norm($"{name}.norm", width);
            Parameters($"{name}.qkv", [3 * width, width, 1], 3 * width);
            Parameters($"{name}.proj_out", [width, width, 1], width);
        }

        private void BasicBlock(string name, int width)
        {
            for (int i = 1; i <= 2; i++)
            {
                entries.Add(new StateDictEntry($"{name}.conv{i}.weight", [width, width, 3, 3], IsBuffer: false));
                Norm($"{name}.bn{i}", width);
                entries.Add(new StateDictEntry($"{name}.bn{i}.running_mean", [width], IsBuffer: true));
                entries.Add(new StateDictEntry($"{name}.bn{i}.running_var", [width], IsBuffer: true));
                entries.Add(new StateDictEntry($"{name}.bn{i}.num_batches_tracked", [], IsBuffer: true));
            }
        }

        private void Norm(string name, int width) => Parameters(name, [width], width);

        private void Linear(string name, int outputs, int inputs) => Parameters(name, [outputs, inputs], outputs);

        private void Conv(string name, int outputs, int inputs, int kernel) =>
            Parameters(name, [outputs, inputs, kernel, kernel], outputs);

        private void Parameters(string name, int[] weightShape, int outputs)
        {
            entries.Add(new StateDictEntry($"{name}.weight", weightShape, IsBuffer: false));
            entries.Add(new StateDictEntry($"{name}.bias", [outputs], IsBuffer: false));
        }
    }
}
