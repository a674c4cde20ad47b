namespace RawDiffusion.Engine;

/// <summary>A graph was built or used wrongly; the message names the operator, the values and both shapes.</summary>
public sealed class GraphException(string message) : Exception(message);
