using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda;

/// <summary>
/// How each value of a graph is stored: activations as the precision says, all else (what callers read and write, states,
/// constants, statistics, gradients of weights, what processes exchange) in 32 bits.
/// </summary>
internal sealed class StoragePolicy
{
    private readonly Storage activation;
    private readonly HashSet<Value> exchanged;

    public StoragePolicy(Graph graph, Precision precision)
    {
        activation = precision switch
        {
            Precision.Bf16 => Storage.Bf16,
            Precision.Fp16 => Storage.F16,
            Precision.Fp32 or Precision.Tf32 => Storage.F32,
            _ => throw GraphException.Unhandled(precision),
        };
        exchanged = [.. graph.Outputs.Values.Concat(graph.Updates.Select(u => u.Next)).Select(v => v.Viewed.Root)];
        foreach (Node node in graph.Nodes)
        {
            if (node.Operator is Pack)
                foreach (Value? gradient in node.Inputs) AddGradient(gradient!);
            Value? value = node.Operator switch
            {
                AllReduce => node.Input(AllReduce.X),
                AllGather => node.Input(AllGather.X),
                // The gradient of repeated vectors is a sum over rows, seen as vectors: linear layers read those in 32 bits.
                LinearGradInput => node.Input(LinearGradInput.Dy),
                LinearGradWeight => node.Input(LinearGradWeight.Dy),
                _ => null,
            };
            if (value is not null) exchanged.Add(value.Viewed.Root);
        }
    }

    /// <summary>Storage of a value; a view has that of what it views.</summary>
    public Storage Of(Value value)
    {
        Value root = value.Viewed.Root;
        if (root.DType is DType.I32) return Storage.I32;
        if (root.DType is not DType.F32) throw GraphException.Unhandled(root.DType);
        bool half = root.Producer is { } producer && producer.Operator.IsActivation && root.Shape.Rank == 4 && !exchanged.Contains(root);
        return half ? activation : Storage.F32;
    }

    /// <summary>Bytes of one element.</summary>
    public int ElementBytes(Value value) => ElementBytes(Of(value));

    /// <summary>Bytes of one element.</summary>
    public static int ElementBytes(Storage storage) => storage switch
    {
        Storage.F32 or Storage.I32 => 4,
        Storage.Bf16 or Storage.F16 => 2,
        _ => throw GraphException.Unhandled(storage),
    };

    // Gradients that are packed are those of weights, and sums of such where a weight is read several times.
    private void AddGradient(Value value)
    {
        Value root = value.Viewed.Root;
        exchanged.Add(root);
        if (root.Producer is { Operator: Add } sum)
            foreach (Value? part in sum.Inputs) AddGradient(part!);
    }
}
