using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Diffusion.Models;

/// <summary>The times of N noisy images, as a network embeds them for its rows.</summary>
public sealed class Timesteps
{
    private readonly Value values;
    private readonly Value? step;

    private Timesteps(Value values, Value? step) => (this.values, this.step) = (values, step);

    /// <summary>One time for all images: a row of a table that is known ahead.</summary>
    /// <param name="table">Times of all steps [S], a constant.</param>
    /// <param name="step">The step that runs [1], an integer.</param>
    public static Timesteps OfStep(Value table, Value step) => new(table, step);

    /// <summary>A time for each image.</summary>
    /// <param name="t">[N].</param>
    public static Timesteps OfImages(Value t) => new(t, null);

    /// <summary>Appends the embedding of each row's time.</summary>
    /// <param name="g">Graph to append to.</param>
    /// <param name="embed">
    /// The network's own: [M] to [M, E]. Of a table it makes all steps' embeddings, which depend on constants only, so that a device
    /// computes them once, and a step reads its row.
    /// </param>
    /// <param name="groups">The images' rows.</param>
    /// <returns>[R, E].</returns>
    public Value Embed(Graph g, Func<Value, Value> embed, RowGroups groups)
    {
        Value embedded = embed(values);
        return step is not null ? g.TableRow(embedded, step, groups.Rows) : g.RepeatRows(embedded, groups, "time_embed.repeat");
    }
}
