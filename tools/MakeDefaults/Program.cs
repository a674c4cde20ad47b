using System.Runtime.InteropServices;
using MakeDefaults;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

// Writes weights/untrained-tiny.safetensors and weights/sample.png again, the same bytes each time:
//   dotnet run --project tools/MakeDefaults -- weights
string folder = args.Length == 1 ? args[0] : throw new ArgumentException("expected one argument: the folder weights");

var config = new UNetConfig
{
    ImageSize = 32,
    Channels = 32,
    ChannelMult = [1, 2],
    NumResBlocks = 1,
    EmbDim = 32,
    EncChannels = 16,
    NumComponents = 3,
    AttentionDownsamples = [2],
    NumHeadChannels = 64,
    ResBlockUpDown = true,
};
using TensorFile weights = RandomWeights.Of(config);
SafeTensors.Write(
    Path.Combine(folder, "untrained-tiny.safetensors"),
    weights.Names.Select(name => KeyValuePair.Create(name, Halved(weights[name]))),
    new Dictionary<string, string> { ["rawdiffusion.trained"] = "false", ["description"] = "random weights: stands in until there are trained models" });
ImageFile.WritePng(Path.Combine(folder, "sample.png"), Scene.Render(128));

// Half precision, to be small.
static Tensor Halved(Tensor tensor)
{
    if (tensor.Type != TensorType.Float32) return tensor;
    Half[] halves = [.. tensor.ToSingles().Select(x => (Half)x)];
    return Tensor.FromBytes(TensorType.Float16, tensor.Shape, MemoryMarshal.AsBytes<Half>(halves).ToArray());
}
