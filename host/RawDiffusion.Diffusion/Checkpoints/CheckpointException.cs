namespace RawDiffusion.Diffusion.Checkpoints;

/// <summary>
/// A checkpoint is not the model that is needed. The message is one line: what was expected, what was found, what to do.
/// </summary>
public sealed class CheckpointException(string message) : Exception(message);
