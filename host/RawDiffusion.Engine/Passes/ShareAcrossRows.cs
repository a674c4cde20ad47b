using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Passes;

/// <summary>
/// Moves <see cref="RepeatRows"/> towards the end: a row-wise operator of repeated rows is the repetition of the
/// operator's rows. What the rows of a group share is then computed once.
/// </summary>
public static class ShareAcrossRows
{
    /// <summary>A graph that computes the same.</summary>
    public static Graph Apply(Graph graph) => RemoveDead.Apply(GraphRewriter.Rewrite(graph, Replace));

    private static Value? Replace(GraphRewriter rewriter, Node node)
    {
        if (!node.Operator.IsRowWise) return null;
        Value?[] inputs = rewriter.Inputs(node);
        RowGroups? groups = null;
        for (int i = 0; i < inputs.Length; i++)
        {
            if (inputs[i] is not { } input || !node.Operator.HasRows(i)) continue;
            if (input.Producer is not { Operator: RepeatRows repeat } producer) return null;
            if (producer.Inputs[RepeatRows.Embedding] is not null) return null;
            if (groups is not null && groups != repeat.Groups) return null;
            groups = repeat.Groups;
            inputs[i] = producer.Input(RepeatRows.X);
        }
        if (groups is null) return null;
        Value shared = rewriter.Target.Apply(node.Operator, inputs, node.Name);
        return rewriter.Target.Apply(new RepeatRows(groups), [shared], node.Name + ".repeat");
    }
}
