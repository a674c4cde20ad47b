namespace RawDiffusion.Formats;

/// <summary>
/// Finds a model's weights in what people save: the state dict itself or nested in a training checkpoint, with the
/// prefix of DistributedDataParallel, or inside the wrapper of the ema_pytorch package.
/// </summary>
internal static class StateDict
{
    private const string EmaPrefix = "ema_model.", OnlinePrefix = "online_model.", ParallelPrefix = "module.";

    private static readonly string[] Containers = ["state_dict", "model_state_dict", "model"];

    /// <summary>The state dict in the object that torch.save was given.</summary>
    public static List<KeyValuePair<string, Tensor>> Find(FileContent file, object? root, List<string> notes)
    {
        object? value = root;
        // Nesting deeper than this is not a state dict; a dict may also contain itself.
        for (int depth = 0; depth < 4; depth++)
        {
            if (value is not OrderedDictionary<object, object?> dictionary)
                throw file.Error($"expected a state dict (names and tensors), found {Describe(value)}; in PyTorch, save it as torch.save(model.state_dict(), path)");
            string? container = Containers.FirstOrDefault(c => dictionary.TryGetValue(c, out object? inner) && inner is OrderedDictionary<object, object?>);
            if (container is null) return Tensors(file, dictionary, notes);
            notes.Add($"State dict found under '{container}'.");
            value = dictionary[container];
        }
        throw file.Error("expected a state dict (names and tensors), found only dicts in dicts");
    }

    /// <summary>Takes the selected weights out of a wrapper, and the prefixes off their names.</summary>
    public static List<KeyValuePair<string, Tensor>> Select(
        FileContent file, List<KeyValuePair<string, Tensor>> tensors, WeightSelection selection, List<string> notes)
    {
        tensors = WithoutParallelPrefix(tensors, notes);
        bool ema = tensors.Exists(t => t.Key.StartsWith(EmaPrefix, StringComparison.Ordinal));
        bool online = tensors.Exists(t => t.Key.StartsWith(OnlinePrefix, StringComparison.Ordinal));
        string[] names = [.. tensors.Select(t => t.Key)];
        if (selection == WeightSelection.Ema && !ema)
            throw file.Error($"EMA weights were asked for, but no tensor's name starts with '{EmaPrefix}'; there are {Listing.Of(names)}");
        if (selection == WeightSelection.Online && ema && !online)
            throw file.Error($"online weights were asked for, but the file has only EMA weights; there are {Listing.Of(names)}");
        if (!ema && !online) return tensors;

        string prefix = ema && selection != WeightSelection.Online ? EmaPrefix : OnlinePrefix;
        string step = Step(tensors);
        notes.Add((prefix == EmaPrefix, ema && online) switch
        {
            (true, true) => $"EMA weights taken{step}; --weights online picks the others.",
            (true, false) => $"EMA weights taken{step}; the file has no others.",
            (false, true) => $"Online weights taken{step}; --weights ema picks the others.",
            (false, false) => $"Online weights taken{step}; the file has no others.",
        });
        return WithoutParallelPrefix([.. WithoutPrefix(tensors, prefix)], notes);
    }

    private static List<KeyValuePair<string, Tensor>> Tensors(
        FileContent file, OrderedDictionary<object, object?> dictionary, List<string> notes)
    {
        List<KeyValuePair<string, Tensor>> tensors = [];
        List<string> ignored = [];
        foreach ((object key, object? value) in dictionary)
        {
            if (key is string name && value is Tensor tensor) tensors.Add(new(name, tensor));
            else ignored.Add(key.ToString() ?? "");
        }
        if (tensors.Count == 0)
            throw file.Error($"expected a state dict (names and tensors), found a dict with no tensor; it has {Listing.Of(ignored)}");
        if (ignored.Count > 0) notes.Add($"Ignored, as no tensors: {Listing.Of(ignored)}.");
        return tensors;
    }

    private static List<KeyValuePair<string, Tensor>> WithoutParallelPrefix(List<KeyValuePair<string, Tensor>> tensors, List<string> notes)
    {
        while (tensors.Count > 0 && tensors.TrueForAll(t => t.Key.StartsWith(ParallelPrefix, StringComparison.Ordinal)))
        {
            tensors = [.. WithoutPrefix(tensors, ParallelPrefix)];
            notes.Add($"Prefix '{ParallelPrefix}' of DistributedDataParallel removed.");
        }
        return tensors;
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> WithoutPrefix(List<KeyValuePair<string, Tensor>> tensors, string prefix) =>
        tensors.Where(t => t.Key.StartsWith(prefix, StringComparison.Ordinal)).Select(t => new KeyValuePair<string, Tensor>(t.Key[prefix.Length..], t.Value));

    /// <summary>" (step 140001)", from the wrapper's counter: a scalar, or one element in older versions.</summary>
    private static string Step(List<KeyValuePair<string, Tensor>> tensors)
    {
        Tensor? step = tensors.Find(t => t.Key == "step").Value;
        return step is { Count: 1 } ? FormattableString.Invariant($" (step {step.ToDoubles()[0]:0})") : "";
    }

    private static string Describe(object? value) => value switch
    {
        null => "None",
        Tensor tensor => $"one tensor [{string.Join(", ", tensor.Shape)}]",
        List<object?> list => $"a list of {list.Count}",
        object?[] tuple => $"a tuple of {tuple.Length}",
        _ => $"a value of type {value.GetType().Name}",
    };
}
