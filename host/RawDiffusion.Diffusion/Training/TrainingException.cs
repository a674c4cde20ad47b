namespace RawDiffusion.Diffusion.Training;

/// <summary>A run cannot begin or go on; the message is one line for people, and says what to do.</summary>
/// <param name="message">The line.</param>
/// <param name="inner">What led to it.</param>
public sealed class TrainingException(string message, Exception? inner = null) : Exception(message, inner);
