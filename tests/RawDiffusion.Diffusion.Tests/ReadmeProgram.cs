using RawDiffusion.Cpu;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Sampling;
using RawDiffusion.Formats.Images;

using var device = new CpuDevice();
using var model = DecompModel.Open("weights/shapes.safetensors");
var decomposer = new Decomposer(device, model, model.Steps(50));
Image picture = ImageFile.Read("weights/sample.png");
ImageFile.WritePng("decomposition.png", decomposer.Draw(picture));
