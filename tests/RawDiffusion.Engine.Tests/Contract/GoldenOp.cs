using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests.Contract;

/// <summary>One operation of ops.safetensors: tensors of the reference's PyTorch code, brought into the engine's layouts.</summary>
internal sealed class GoldenOp(string name)
{
    private static readonly Lazy<TensorFile> File = new(() => Goldens.Open("ops"));

    /// <summary>All operations whose name starts with a prefix; at least one.</summary>
    public static string[] Names(string prefix)
    {
        string[] names = [.. File.Value.Names.Select(n => n.Split('/')[0])
            .Where(n => n.StartsWith(prefix, StringComparison.Ordinal)).Distinct()];
        return names.Length > 0 ? names : throw new InvalidOperationException($"ops.safetensors has no {prefix}*");
    }

    public bool Has(string tensor) => File.Value.TryGet($"{name}/{tensor}", out _);

    /// <summary>A tensor as it is.</summary>
    public Array64 Plain(string tensor)
    {
        Tensor t = File.Value[$"{name}/{tensor}"];
        return new Array64([.. t.Shape], t.ToDoubles());
    }

    /// <summary>NCHW as NHWC, and NCT as [N, 1, T, C].</summary>
    public Array64 Image(string tensor)
    {
        Array64 x = Plain(tensor);
        int n = x.Shape[0], c = x.Shape[1];
        (int h, int w) = x.Shape.Rank == 3 ? (1, x.Shape[2]) : (x.Shape[2], x.Shape[3]);
        return ForwardDefinitions.Each([n, h, w, c], (i, y, xx, k) => x[((i * c + k) * h + y) * w + xx]);
    }

    /// <summary>OIHW as OHWI, and OI1 as [O, 1, 1, I].</summary>
    public Array64 ConvWeight(string tensor) => Image(tensor);

    /// <summary>An image that is the same in each run.</summary>
    public Argument Input(string tensor) => Argument.Of(Image(tensor));

    /// <summary>A fixed tensor, null where the operation has none.</summary>
    public Argument? Constant(string tensor) => Has(tensor) ? Argument.Of(Plain(tensor), ValueKind.Constant) : null;
}
