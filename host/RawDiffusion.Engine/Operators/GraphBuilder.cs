namespace RawDiffusion.Engine.Operators;

/// <summary>
/// Builder methods that read like the mathematics, <c>g.Conv2d(x, w, b, stride: 1, padding: 1)</c>: each stands in its
/// operator's file, infers the shape at once, and throws a <see cref="GraphException"/> where shapes disagree.
/// </summary>
public static partial class GraphBuilder;
