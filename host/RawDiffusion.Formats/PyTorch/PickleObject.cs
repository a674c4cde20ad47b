namespace RawDiffusion.Formats.PyTorch;

/// <summary>A Python value that is not read: nothing of it is made or run, only what it is called is known.</summary>
internal sealed class PickleObject(string name)
{
    /// <summary>None as the key of a dict.</summary>
    public static readonly PickleObject None = new("None");

    public override string ToString() => name;
}

/// <summary>A Python dict, with the attributes that torch.nn.Module.state_dict and our writer leave on an OrderedDict.</summary>
internal sealed class PickleDictionary() : OrderedDictionary<object, object?>(PickleKeyComparer.Instance)
{
    public OrderedDictionary<object, object?>? Attributes { get; set; }
}
