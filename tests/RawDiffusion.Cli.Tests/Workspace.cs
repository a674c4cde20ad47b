using RawDiffusion.Formats;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

/// <summary>A folder for one test.</summary>
internal sealed class Workspace : IDisposable
{
    public Workspace() => Directory.CreateDirectory(Folder);

    public string Folder { get; } = Path.Combine(Path.GetTempPath(), $"rawdiffusion-{Guid.NewGuid():n}");

    /// <summary>The folder that commands write to; it is not there until one does.</summary>
    public string Out => PathOf("out");

    /// <summary>Every file that is in <see cref="Out"/>, hidden ones too, by name.</summary>
    public string[] Results => Directory.Exists(Out)
        ? [.. Directory.GetFiles(Out).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal)] : [];

    public string PathOf(string name) => Path.Combine(Folder, name);

    public string Write(string name, byte[] content)
    {
        File.WriteAllBytes(PathOf(name), content);
        return PathOf(name);
    }

    /// <summary>A safetensors file with one tensor.</summary>
    public string WriteTensor(string file, string tensor, IReadOnlyList<int> shape, float[] values)
    {
        SafeTensors.Write(PathOf(file), [KeyValuePair.Create(tensor, Tensor.FromSingles(shape, values))]);
        return PathOf(file);
    }

    /// <summary>A golden tensor as a file of its own.</summary>
    public string WriteGolden(string config, string golden, string tensor)
    {
        using TensorFile file = Goldens.Open(config);
        return WriteTensor($"{tensor}.safetensors", tensor, file[golden].Shape, file[golden].ToSingles());
    }

    /// <summary>The golden initial noise [K + 1, B, C, S, S] as the command takes it: [B * (K + 1), C, S, S].</summary>
    public string WriteGoldenNoise(string config)
    {
        using TensorFile file = Goldens.Open(config);
        IReadOnlyList<int> shape = file["ddim.noise"].Shape;
        float[][] images = [.. file["ddim.noise"].ToSingles().Chunk(shape[2] * shape[3] * shape[4])];
        (int trajectories, int batch) = (shape[0], shape[1]);
        float[] byImage = [.. Enumerable.Range(0, batch)
            .SelectMany(b => Enumerable.Range(0, trajectories).SelectMany(t => images[t * batch + b]))];
        return WriteTensor("noise.safetensors", "noise", [batch * trajectories, .. shape.Skip(2)], byImage);
    }

    /// <summary>The noise that the official combinations start from.</summary>
    public string WriteGoldenNoiseOfFirst(string config)
    {
        using TensorFile file = Goldens.Open(config);
        int[] shape = [1, .. file["ddim.noise"].Shape.Skip(2)];
        return WriteTensor("noise.safetensors", "noise", shape, file["ddim.noise"].ToSingles()[..(shape[1] * shape[2] * shape[3])]);
    }

    /// <summary>A golden model with closed-form weights as a file; <paramref name="edit"/> changes tensors.</summary>
    public string WriteModel(string name, string config, string salt = "", Func<string, Tensor, Tensor>? edit = null)
    {
        using TensorFile model = ClosedFormWeights.StateDict(config, salt);
        SafeTensors.Write(PathOf(name), model.Names.Select(n => KeyValuePair.Create(n, edit is null ? model[n] : edit(n, model[n]))));
        return PathOf(name);
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
