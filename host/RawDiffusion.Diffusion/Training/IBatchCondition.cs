using RawDiffusion.Diffusion.Models;
using RawDiffusion.Engine;

namespace RawDiffusion.Diffusion.Training;

/// <summary>How the conditions of a batch's rows come from its images, or from what is known of them.</summary>
public interface IBatchCondition
{
    /// <summary>Appends the conditions.</summary>
    /// <param name="g">Graph to append to; gets the inputs that the condition needs beside the images.</param>
    /// <param name="xStart">The images [N, H, W, C].</param>
    ConditionedRows Append(Graph g, Value xStart);
}

/// <summary>The rows of a batch of N images, and what they are asked for.</summary>
/// <param name="Groups">Rows and weights of each image.</param>
/// <param name="Inputs">The rows' conditions [R, ..] by the names of <see cref="IDenoiser.ConditionInputs"/>.</param>
/// <param name="Loss">What the conditions themselves add to the loss [1], if anything.</param>
public sealed record ConditionedRows(RowGroups Groups, IReadOnlyDictionary<string, Value> Inputs, Value? Loss = null);
