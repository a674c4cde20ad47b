namespace RawDiffusion.Cuda.Launches;

/// <summary>A parameter and what belongs to it: float32, equally long.</summary>
/// <param name="Parameter">Updated.</param>
/// <param name="Gradient">Read.</param>
/// <param name="First">Running mean of the gradient, zero at first; updated.</param>
/// <param name="Second">Running mean of its square, zero at first; updated.</param>
/// <param name="Average">Exponential moving average of the parameter, updated; empty where there is none.</param>
internal readonly record struct AdamTensor(DeviceRange Parameter, DeviceRange Gradient, DeviceRange First, DeviceRange Second, DeviceRange Average)
{
    /// <summary>Elements.</summary>
    public int Count => checked((int)(Parameter.Bytes / 4));
}

/// <summary>Constants of Adam; defaults are PyTorch's.</summary>
/// <param name="Beta1">Decay of the running mean.</param>
/// <param name="Beta2">Decay of the running mean of squares.</param>
/// <param name="Epsilon">Added to the root.</param>
/// <param name="WeightDecay">Pull to zero.</param>
/// <param name="Decoupled">Whether the pull bypasses the running means: AdamW.</param>
/// <param name="MaxNorm">All gradients together are scaled down to this norm where it is stated.</param>
/// <param name="Average">Whether a moving average of the parameters is kept.</param>
internal sealed record AdamOptions(
    double Beta1 = 0.9, double Beta2 = 0.999, double Epsilon = 1e-8, double WeightDecay = 0, bool Decoupled = true,
    double? MaxNorm = null, bool Average = false);

/// <summary>
/// Launches of <c>kernels/adam.cu</c> and <c>kernels/gradient_norm.cu</c>: one optimizer step for all parameters in one
/// launch, two where gradients are clipped.
/// </summary>
internal static class AdamLaunches
{
    // piece_elements of multi_tensor.cuh.
    private const int Piece = 4096;

    /// <summary>Adds a step.</summary>
    /// <param name="context">Takes the launches.</param>
    /// <param name="tensors">All parameters.</param>
    /// <param name="options">Constants.</param>
    /// <param name="rates">Two float32: the learning rate, and the share of the parameter in its new moving average.</param>
    /// <param name="step">Steps done before this one, one int32.</param>
    public static void Add(LaunchContext context, IReadOnlyList<AdamTensor> tensors, AdamOptions options, DeviceRange rates, DeviceRange step)
    {
        (DeviceRange pieces, int count) = UploadPieces(context, tensors);
        DeviceRange norm = default;
        if (options.MaxNorm is not null)
        {
            norm = context.Scratch(4);
            LaunchBuilder normLaunch = context.Kernel("gradient_norm.cu", "gradient_norm")
                .Read(context.Upload<ulong>([.. tensors.Select(t => t.Gradient.Address)])).Read(pieces)
                .Update(context.Scratch(4L * count)).Update(context.Counters(1)).Write(norm);
            foreach (AdamTensor tensor in tensors) normLaunch.Reach(tensor.Gradient, writes: false);
            normLaunch.Launch(count, Elementwise.Block);
        }
        ulong[] table = [.. tensors.SelectMany(t => (ulong[])[t.Parameter.Address, t.Gradient.Address, t.First.Address, t.Second.Address, t.Average.Address])];
        // Differences from 1 and logarithms are taken in double: in float32 they would lose the digits that matter.
        LaunchBuilder launch = context.Kernel("adam.cu", "adam_step")
            .Define("DECOUPLED", options.Decoupled).Define("CLIP", options.MaxNorm is not null).Define("AVERAGE", options.Average)
            .Read(context.Upload<ulong>(table)).Read(pieces).Read(rates).Read(norm).Read(step)
            .Argument((float)options.Beta1).Argument((float)(1 - options.Beta1)).Argument((float)Math.Log(options.Beta1))
            .Argument((float)options.Beta2).Argument((float)(1 - options.Beta2)).Argument((float)Math.Log(options.Beta2))
            .Argument((float)options.Epsilon).Argument((float)options.WeightDecay).Argument((float)(options.MaxNorm ?? 0));
        foreach (AdamTensor t in tensors)
            launch.Reach(t.Parameter, writes: true).Reach(t.Gradient, writes: false).Reach(t.First, writes: true).Reach(t.Second, writes: true).Reach(t.Average, writes: true);
        launch.Launch(count, Elementwise.Block);
    }

    private static (DeviceRange Pieces, int Count) UploadPieces(LaunchContext context, IReadOnlyList<AdamTensor> tensors)
    {
        var pieces = new List<int>();
        for (int t = 0; t < tensors.Count; t++)
            for (int first = 0; first < tensors[t].Count; first += Piece) pieces.AddRange([t, first, Math.Min(Piece, tensors[t].Count - first)]);
        return (context.Upload<int>([.. pieces]), pieces.Count / 3);
    }
}
