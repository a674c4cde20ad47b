using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Models;

/// <summary>How the engine lays out a checkpoint's weights: channels last.</summary>
public static class WeightLayout
{
    /// <summary>A parameter's shape in the engine, and how it comes about: its rows are transposed, [a, b] to [b, a].</summary>
    /// <param name="Shape">In the engine.</param>
    /// <param name="Rows">Outputs.</param>
    /// <param name="A">Input channels; 1 where nothing is transposed.</param>
    /// <param name="B">Positions; 1 where nothing is transposed.</param>
    public readonly record struct Place(Shape Shape, int Rows, int A, int B);

    /// <summary>Where a tensor of a state dict goes.</summary>
    /// <param name="config">The network.</param>
    /// <param name="entry">One of its entries.</param>
    public static Place Of(UNetConfig config, StateDictEntry entry)
    {
        IReadOnlyList<int> shape = entry.Shape;
        if (shape.Count > 2)
        {
            int kernel = shape.Count == 4 ? shape[2] : 1;
            return new Place([shape[0], kernel, kernel, shape[1]], shape[0], shape[1], kernel * kernel);
        }
        int flattened = config.EncChannels << UNetConfig.EncoderDepth;
        return shape.Count == 2 && entry.Name.StartsWith("latent_encoder.", StringComparison.Ordinal)
            ? new Place([.. shape], shape[0], flattened, shape[1] / flattened)
            : new Place([.. shape], shape.Count == 0 ? 1 : shape[0], 1, 1);
    }

    /// <summary>[rows, a, b] becomes [rows, b, a], row by row in place, so that no second copy of a large tensor exists.</summary>
    public static unsafe void Transpose(Span<float> values, int rows, int a, int b)
    {
        if (a == 1 || b == 1) return;
        int count = a * b;
        fixed (float* all = values)
        {
            nint first = (nint)all;
            Parallel.For(0, rows, () => new float[count], (r, _, copy) =>
            {
                float* row = (float*)first + (nint)r * count;
                new Span<float>(row, count).CopyTo(copy);
                fixed (float* source = copy)
                {
                    for (int j = 0; j < b; j++, row += a)
                    {
                        float* from = source + j;
                        for (int i = 0; i < a; i++, from += b) row[i] = *from;
                    }
                }
                return copy;
            }, _ => { });
        }
    }
}
