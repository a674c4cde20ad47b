using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine;

/// <summary>Where a value comes from.</summary>
public enum ValueKind
{
    /// <summary>The caller writes it before a run.</summary>
    Input,
    /// <summary>Fixed when the graph is built; a device may repack it when it compiles.</summary>
    Constant,
    /// <summary>Lives in the executable from run to run; <see cref="Graph.Assign"/> says what it becomes.</summary>
    State,
    /// <summary>A node computes it.</summary>
    Result,
}

/// <summary>One array in a graph: defined once, read by any number of nodes.</summary>
public sealed class Value
{
    internal Value(int id, ValueKind kind, string name, Shape shape, DType dtype, Node? producer, ConstantReader? constant)
    {
        Id = id;
        Kind = kind;
        Name = name;
        Shape = shape;
        DType = dtype;
        Producer = producer;
        Constant = constant;
    }

    /// <summary>Position in the graph's list of values.</summary>
    public int Id { get; }

    /// <summary>Where the value comes from.</summary>
    public ValueKind Kind { get; }

    /// <summary>Name for errors, profiles and named inputs; for weights the checkpoint's tensor name.</summary>
    public string Name { get; }

    /// <summary>Dimensions, outermost first; fixed when the graph is built.</summary>
    public Shape Shape { get; }

    /// <summary>Element type.</summary>
    public DType DType { get; }

    /// <summary>The node that computes it; null unless <see cref="ValueKind.Result"/>.</summary>
    public Node? Producer { get; }

    /// <summary>Fills a span with a constant's elements, or a state's first content; null where there is none.</summary>
    public ConstantReader? Constant { get; }

    /// <summary>
    /// What a chain of views is a view of, and the place of this value's first element in it; itself and 0 where it is no view.
    /// </summary>
    public (Value Root, long First) Viewed
    {
        get
        {
            (Value root, long first) = (this, 0);
            for (; root.Producer is { Operator: View view } node; root = node.Input(View.X)) first += view.Offset;
            return (root, first);
        }
    }

    /// <summary>Whether it is a constant or a view of one, so that it can be repacked once, when the graph is compiled.</summary>
    public bool IsConstant => Viewed.Root.Kind == ValueKind.Constant;

    /// <summary>Name and shape.</summary>
    public override string ToString() => $"{Name} {Shape}";
}

/// <summary>Fills <paramref name="destination"/>, whose length is the value's element count.</summary>
public delegate void ConstantReader(Span<float> destination);
