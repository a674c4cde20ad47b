using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Sampling;

/// <summary>
/// The predictions of N images that are composed of rows: one pass of each network over all its rows of all images, and their weighted
/// sums.
/// </summary>
public sealed class ComposedPrediction
{
    // What the sum of an image's weights may differ from 1 by, as they are rounded one by one.
    private const float Rounding = 1e-5f;

    private readonly IReadOnlyList<IDenoiser> models;
    private readonly IReadOnlyList<Composition> compositions;
    private readonly int[] used;

    /// <summary>Checks that the networks can predict parts of one image.</summary>
    /// <param name="models">Networks that rows refer to.</param>
    /// <param name="compositions">What each image is made of.</param>
    /// <param name="predicts">What the networks predict; null for what they say themselves.</param>
    /// <exception cref="ArgumentException">
    /// They have images of different sizes, or predict different things; a row refers to none of them.
    /// </exception>
    public ComposedPrediction(
        IReadOnlyList<IDenoiser> models, IReadOnlyList<Composition> compositions, Prediction? predicts = null)
    {
        (this.models, this.compositions) = (models, compositions);
        IDenoiser first = models[0];
        Predicts = predicts ?? first.Predicts;
        foreach (IDenoiser model in models)
        {
            if (Image(model) != Image(first))
            {
                throw new ArgumentException("expected networks of one image size to combine, found "
                    + $"{Describe(first)} and {Describe(model)}");
            }
            if (model.OutputChannels != first.OutputChannels || (predicts ?? model.Predicts) != Predicts)
            {
                throw new ArgumentException("expected networks that predict the same to combine, found "
                    + $"{Predicts} in {first.OutputChannels} channels and {model.Predicts} in {model.OutputChannels}");
            }
        }
        foreach (CompositionRow row in compositions.SelectMany(c => c.Rows))
        {
            if (row.Model < 0 || row.Model >= models.Count)
                throw new ArgumentException($"a composition asks network {row.Model} of {models.Count}; they are counted from 0");
        }
        used = [.. Enumerable.Range(0, models.Count).Where(m => compositions.Any(c => c.Rows.Any(r => r.Model == m)))];
    }

    /// <summary>Shape of the images x_t [N, H, W, C].</summary>
    public Shape Images => [compositions.Count, models[0].Height, models[0].Width, models[0].Channels];

    /// <summary>What <see cref="Append"/> predicts.</summary>
    public Prediction Predicts { get; }

    /// <summary>Appends the prediction of each image.</summary>
    /// <param name="g">
    /// Graph to append to; it gets the networks' inputs, with the number of the network in their names: <c>latents0</c>.
    /// </param>
    /// <param name="x">Noisy images [N, H, W, C].</param>
    /// <param name="t">Their times.</param>
    /// <returns>[N, H, W, output channels].</returns>
    public Value Append(Graph g, Value x, Timesteps t)
    {
        bool sharesBias = used.Length == 1 && compositions.All(c => MathF.Abs(WeightOf(c, used[0]) - 1) < Rounding);
        Value? prediction = null;
        foreach (int m in used)
        {
            using IDisposable? scope = used.Length > 1 ? g.Scope($"model{m + 1}") : null;
            RowGroups groups = GroupsOf(m);
            var conditions = models[m].ConditionInputs
                .ToDictionary(i => i.Name, i => g.Input(NameOf(i, m), [groups.Rows, .. i.Shape.Dimensions]));
            Value own = models[m].Predict(g, x, t, conditions, groups, sharesBias);
            prediction = prediction is null ? own : g.Add(prediction, own);
        }
        return sharesBias ? prediction! : AddBiases(g, prediction!);
    }

    /// <summary>Writes what the rows are asked for to the inputs that <see cref="Append"/> declared.</summary>
    /// <param name="executable">The compiled graph.</param>
    /// <param name="asked">Compositions of the same rows and weights as those of the graph, under any conditions.</param>
    /// <exception cref="ArgumentException">Their rows or weights are others, or a condition is none of its network.</exception>
    public void Write(IExecutable executable, IReadOnlyList<Composition> asked)
    {
        if (!Weights(asked).SequenceEqual(Weights(compositions)))
            throw new ArgumentException("a compiled graph takes other conditions, but no other rows or weights: compile it for them");
        foreach (int m in used)
        {
            CompositionRow[] rows = [.. asked.SelectMany(c => c.Rows).Where(r => r.Model == m)];
            foreach (ConditionInput input in models[m].ConditionInputs)
            {
                int length = (int)input.Shape.Count;
                float[] values = new float[rows.Length * length];
                for (int r = 0; r < rows.Length; r++) rows[r].Condition.Write(models[m], input, values.AsSpan(r * length, length));
                executable.Write(NameOf(input, m), values);
            }
        }
    }

    private static string NameOf(ConditionInput input, int model) => $"{input.Name}{model}";

    private static (int, int, int) Image(IDenoiser model) => (model.Height, model.Width, model.Channels);

    private static string Describe(IDenoiser model) => $"{model.Width} x {model.Height} pixels of {model.Channels} channels";

    private static float WeightOf(Composition composition, int model) =>
        composition.Rows.Where(r => r.Model == model).Sum(r => r.Weight);

    private static IEnumerable<(int Image, int Model, float Weight)> Weights(IReadOnlyList<Composition> compositions) =>
        compositions.SelectMany((c, image) => c.Rows.Select(r => (image, r.Model, r.Weight)));

    private RowGroups GroupsOf(int model) => new(
        [.. compositions.Select(c => c.Rows.Count(r => r.Model == model))],
        [.. compositions.SelectMany(c => c.Rows).Where(r => r.Model == model).Select(r => r.Weight)]);

    // Each network's bias counts with the sum of its rows' weights: [N, output channels].
    private Value AddBiases(Graph g, Value prediction)
    {
        int channels = models[0].OutputChannels;
        var biases = new List<(int Model, ConstantReader Read)>();
        foreach (int m in used)
        {
            if (models[m].Bias(g) is { } bias) biases.Add((m, bias.Constant!));
        }
        if (biases.Count == 0) return prediction;
        Value sum = g.Constant("biases", [compositions.Count, channels], destination =>
        {
            destination.Clear();
            float[] bias = new float[channels];
            foreach ((int model, ConstantReader read) in biases)
            {
                read(bias);
                for (int n = 0; n < compositions.Count; n++)
                {
                    float weight = WeightOf(compositions[n], model);
                    for (int c = 0; c < channels; c++) destination[n * channels + c] += weight * bias[c];
                }
            }
        });
        return g.AddEmbedding(prediction, sum, "biases");
    }
}
