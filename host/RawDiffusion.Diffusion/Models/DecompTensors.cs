using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>
/// The tensors of a Decomp Diffusion network, as its <see cref="UNet"/> and its <see cref="LatentEncoder"/> declare them.
/// </summary>
public static class DecompTensors
{
    /// <summary>What <c>UNetModel(...).state_dict()</c> of the reference's model/unet.py holds, in its order.</summary>
    /// <param name="config">
    /// The architecture. No tensor depends on the number of heads or on whether all levels halve the image evenly: these need not be right.
    /// </param>
    public static IReadOnlyList<NetworkTensor> Of(UNetConfig config) => Manifest.Of((g, weights) =>
    {
        (int size, int image, int channels) = (config.SizeMultiple, config.ImageSize, config.ImageChannels);
        var unet = new UNet(config with { NumHeads = 1, NumHeadChannels = null }, weights);
        Value time = unet.TimeEmbedding(g, g.Input("t", [1]));
        unet.Predict(g, g.Input("x", [1, size, size, channels]), time, g.Input("latents", [1, config.LatentDim]), RowGroups.Mean(1, 1));
        new LatentEncoder(config, weights).Encode(g, g.Input("images", [1, image, image, channels]));
    });

    /// <summary>Number of trained parameters.</summary>
    /// <param name="config">The architecture.</param>
    public static long ParameterCount(UNetConfig config) => Of(config).Where(t => t.Kind == TensorKind.Parameter).Sum(t => t.Count);
}
