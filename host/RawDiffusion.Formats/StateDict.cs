using RawDiffusion.Formats.PyTorch;

namespace RawDiffusion.Formats;

/// <summary>
/// Finds a model's weights in what training scripts save: a state dict by itself or in dicts, one beside its averages, with the prefixes of
/// wrappers, or in the wrapper of the ema_pytorch package. Averages are told by their keys' names.
/// </summary>
internal sealed class StateDict
{
    /// <summary>The attribute of a state dict that holds what safetensors files have under the same name.</summary>
    public const string MetadataKey = "__metadata__";

    // The ema_pytorch package and this project's training have a prefix for both.
    private const string Online = "online_model.";

    // Deeper dicts are no state dicts.
    private const int Deepest = 6;

    private readonly FileContent file;
    private readonly List<WeightCandidate> found = [];
    private readonly List<string> passedOver = [];
    private readonly List<string> lists = []; // of tensors
    private readonly HashSet<object> visited = new(ReferenceEqualityComparer.Instance);

    private StateDict(FileContent file) => this.file = file;

    /// <summary>The selected weights of the object that torch.save was given.</summary>
    /// <exception cref="FileFormatException">There are none, or several.</exception>
    public static TensorFile Of(FileContent file, object? root, WeightSelection selection, IDisposable owner, string format)
    {
        var search = new StateDict(file);
        if (root is not PickleDictionary dictionary)
        {
            throw file.Error(
                $"expected a state dict (names and tensors), found {Describe(root)}; in PyTorch, save it as "
                    + "torch.save(model.state_dict(), path)");
        }
        search.Visit(dictionary, "", "", false, 0);
        return search.Select(selection, owner, format);
    }

    /// <summary>The selected weights of named tensors.</summary>
    /// <exception cref="FileFormatException">They are not there.</exception>
    public static TensorFile Of(FileContent file, TensorFile whole, WeightSelection selection)
    {
        var search = new StateDict(file);
        search.passedOver.AddRange(whole.PassedOver);
        search.Add("", "", false, [.. whole.Tensors], whole.Metadata);
        return search.Select(selection, file, whole.Format);
    }

    private void Visit(PickleDictionary dictionary, string path, string key, bool average, int depth)
    {
        if (!visited.Add(dictionary)) return;
        List<KeyValuePair<string, Tensor>> tensors = [];
        // Lightning's callback puts averages where the weights were, and these beside them.
        bool swapped = dictionary.ContainsKey("current_model_state");
        foreach ((object name, object? value) in dictionary)
        {
            string text = name as string ?? "";
            string inner = path.Length == 0 ? text : $"{path}/{text}";
            if (value is List<object?> { Count: > 0 } list && list.TrueForAll(item => item is Tensor)) lists.Add(inner);
            if (text.Length > WeightNames.Longest)
                throw file.Error($"a name has {text.Length} characters; at most {WeightNames.Longest} are read");
            if (name is string && value is Tensor tensor) tensors.Add(new(text, tensor));
            else if (name is string && value is PickleDictionary next && depth < Deepest && !WeightNames.IsOptimizer(text))
                Visit(next, inner, text, average || WeightNames.IsAverage(text) || (swapped && text == "state_dict"), depth + 1);
            else passedOver.Add($"'{(name is string ? inner : $"{path}/{name}")}' ({Describe(value)})");
        }
        // A counter beside a dict of weights is none of them.
        if (tensors.Exists(t => t.Value.Count != 1) || (tensors.Count > 0 && found.Count == 0))
            Add(path, key, average, tensors, MetadataOf(dictionary));
        else PassOver(Within(path), tensors);
    }

    // One dict may hold weights and averages under different prefixes.
    private void Add(
        string path, string key, bool average, List<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        if (tensors.Find(t => t.Key.Length > WeightNames.Longest).Key is { } name)
            throw file.Error($"a tensor's name has {name.Length} characters; at most {WeightNames.Longest} are read");
        // What is around the wrapper of averages.
        int around = WeightNames.CommonPrefix(tensors, w => w != Online && !WeightNames.IsAverage(w));
        string outer = around > 0 ? tensors[0].Key[..around] : "";
        if (around > 0) tensors = [.. Without(tensors, outer)];
        const string averaged = "n_averaged", parallel = "module.";
        if (tensors.Exists(t => t.Key == averaged)
            && tensors.TrueForAll(t => t.Key == averaged || t.Key.StartsWith(parallel, StringComparison.Ordinal)))
        {
            average = true;
            tensors = [.. tensors.Where(t => t.Key != averaged)];
        }
        string step = Step(tensors);
        HashSet<string> averages = [.. tensors.Select(t => First(t.Key)).Distinct().Where(WeightNames.IsAverage)];
        List<KeyValuePair<string, Tensor>> rest = averages.Count == 0 ? tensors
            : [.. tensors.Where(t => !averages.Contains(First(t.Key)) && (t.Value.Count != 1 || t.Key.Contains('.')))];
        // Tensors beside dicts of weights are something else: a generator's state, a loss.
        int rank = path.Length == 0 ? (found.Count == 0 ? 0 : 3) : WeightNames.IsContainer(key) || average ? 1 : 2;
        if (rest.Exists(t => t.Key.StartsWith(Online, StringComparison.Ordinal)))
        {
            PassOver(Within(path), rest.Where(t => !t.Key.StartsWith(Online, StringComparison.Ordinal)));
            rest = [.. Without(rest.Where(t => t.Key.StartsWith(Online, StringComparison.Ordinal)), Online)];
        }
        List<KeyValuePair<string, Tensor>> weights = Main(Within(path), rest);
        foreach (IGrouping<string, KeyValuePair<string, Tensor>> group in tensors.Where(t => averages.Contains(First(t.Key)))
            .GroupBy(t => First(t.Key)))
        {
            List<KeyValuePair<string, Tensor>> inner = [
                .. Without(group, group.Key + ".").Where(t => t.Key is not ("decay" or "num_updates"))];
            List<KeyValuePair<string, Tensor>> named = Named(inner, weights);
            Keep(path, group.Key, true, rank, Main($"{Within(path)}{group.Key}.", named), outer, step, metadata);
        }
        if (weights.Count == 0) return;
        bool beside = averages.Count > 0;
        Keep(path, "", average && !beside, average && beside ? 3 : rank, weights, outer, beside ? step : "", metadata);
    }

    private void Keep(
        string path, string prefix, bool average, int rank, List<KeyValuePair<string, Tensor>> tensors, string outer, string step,
        IReadOnlyDictionary<string, string> metadata)
    {
        int common = WeightNames.CommonPrefix(tensors);
        string removed = outer + (common > 0 ? tensors[0].Key[..common] : "");
        OrderedDictionary<string, Tensor> named = new(tensors.Count, StringComparer.Ordinal);
        foreach ((string name, Tensor tensor) in tensors)
        {
            string plain = WeightNames.WithoutInner(name[common..]);
            if (!named.TryAdd(plain, tensor))
                throw file.Error($"the tensor name '{plain}' occurs twice once prefixes are removed");
        }
        string shown = prefix.Length == 0 ? path : $"{Within(path)}{prefix}.";
        found.Add(new WeightCandidate(shown, average, rank, Counted(named), removed, step, metadata));
    }

    /// <summary>The tensors under one wrapper, where these are most; what is beside them (buffers, a loss) is passed over.</summary>
    private List<KeyValuePair<string, Tensor>> Main(string within, List<KeyValuePair<string, Tensor>> tensors)
    {
        (string? wrapper, int count) = tensors.CountBy(t => WeightNames.Wrapper(t.Key) ?? "").DefaultIfEmpty().MaxBy(c => c.Value);
        if (string.IsNullOrEmpty(wrapper) || 2 * count <= tensors.Count) return tensors;
        PassOver(within, tensors.Where(t => !t.Key.StartsWith(wrapper, StringComparison.Ordinal)));
        return [.. tensors.Where(t => t.Key.StartsWith(wrapper, StringComparison.Ordinal))];
    }

    private void PassOver(string within, IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        foreach (IGrouping<string, KeyValuePair<string, Tensor>> group in tensors.GroupBy(t => First(t.Key)))
        {
            KeyValuePair<string, Tensor>[] all = [.. group];
            if (group.Key.Length > 0 && all.Length > 1) passedOver.Add($"'{within}{group.Key}.' ({all.Length} tensors)");
            else passedOver.AddRange(all.Select(t => $"'{within}{t.Key}' (a tensor)"));
        }
    }

    private static string Within(string path) => path.Length == 0 ? "" : path + "/";

    private static string First(string name) => name.IndexOf('.') is > 0 and var dot ? name[..dot] : "";

    /// <summary>
    /// Averages whose names have lost their dots (LitEma of CompVis) get those of the weights; buffers that they lack are the weights'.
    /// </summary>
    private static List<KeyValuePair<string, Tensor>> Named(
        List<KeyValuePair<string, Tensor>> averages, List<KeyValuePair<string, Tensor>> weights)
    {
        if (averages.Count == 0 || averages.Exists(t => t.Key.Contains('.'))) return averages;
        int common = WeightNames.CommonPrefix(weights);
        Dictionary<string, string> names = new(StringComparer.Ordinal);
        foreach ((string name, _) in weights)
        {
            for (int start = 0; start >= 0 && start <= common; start = name.IndexOf('.', start) + 1)
            {
                names.TryAdd(name[start..].Replace(".", "", StringComparison.Ordinal), name);
                if (start == common) break;
            }
        }

        if (!averages.TrueForAll(t => names.ContainsKey(t.Key))) return averages;
        var byName = averages.ToDictionary(t => names[t.Key], t => t.Value, StringComparer.Ordinal);
        return
        [
            .. weights.Where(t => byName.ContainsKey(t.Key) || IsBuffer(t.Key))
                .Select(t => KeyValuePair.Create(t.Key, byName.GetValueOrDefault(t.Key) ?? t.Value)),
        ];
    }

    private static bool IsBuffer(string name) =>
        name.EndsWith(".running_mean", StringComparison.Ordinal) || name.EndsWith(".running_var", StringComparison.Ordinal)
        || name.EndsWith(".num_batches_tracked", StringComparison.Ordinal);

    // Batch norms of old files have no counter; PyTorch takes it as 0.
    private static OrderedDictionary<string, Tensor> Counted(OrderedDictionary<string, Tensor> tensors)
    {
        if (!tensors.Keys.Any(n => CounterOf(n) is { } counter && !tensors.ContainsKey(counter))) return tensors;
        OrderedDictionary<string, Tensor> counted = new(StringComparer.Ordinal);
        foreach ((string name, Tensor tensor) in tensors)
        {
            counted.Add(name, tensor);
            if (CounterOf(name) is { } counter && !tensors.ContainsKey(counter)) counted.Add(counter, Tensor.FromInt64s([], [0]));
        }
        return counted;
    }

    private static string? CounterOf(string name)
    {
        const string variance = ".running_var";
        return name.EndsWith(variance, StringComparison.Ordinal) ? name[..^variance.Length] + ".num_batches_tracked" : null;
    }

    private TensorFile Select(WeightSelection selection, IDisposable owner, string format)
    {
        WeightCandidate[] online = Best(found.Where(c => !c.IsAverage)), averages = Best(found.Where(c => c.IsAverage));
        if (found.Count == 0)
            throw file.Error($"expected a state dict (names and tensors), found a dict with no tensor; it has {ListOf(passedOver)}");
        WeightCandidate[] wanted = selection switch
        {
            WeightSelection.Ema => averages,
            WeightSelection.Online => online,
            WeightSelection.Auto => averages.Length > 0 ? averages : online,
            _ => throw new ArgumentOutOfRangeException(nameof(selection), selection, "unknown selection of weights"),
        };
        string[] names = [.. found.SelectMany(c => c.Tensors).Select(t => t.Key).Take(100)];
        // torch_ema and diffusers keep averages so.
        string? unnamed = averages.Length > 0 ? null : lists.Find(WeightNames.IsAverage);
        if (wanted.Length == 0 && unnamed is not null)
        {
            throw file.Error($"EMA weights were asked for, but those in '{unnamed}' are a list without names; "
                + "copy them into the model with ema.copy_to(model.parameters()) and save its state_dict()");
        }
        if (wanted.Length == 0)
        {
            string over = passedOver.Count > 0 ? $", and passed over: {ListOf(passedOver)}" : "";
            throw file.Error(selection == WeightSelection.Ema
                ? $"EMA weights were asked for, but none are found by their names; there are {Listing.Of(names)} in {found[0].Shown}{over}"
                : $"online weights were asked for, but the file has only EMA weights in {averages[0].Shown}; there are "
                + $"{Listing.Of(names)}");
        }
        if (wanted.Length > 1)
        {
            string several = string.Join(", ", wanted.Take(6).Select(c => $"{c.Shown} with {c.Tensors.Count} tensors"));
            string more = wanted.Length > 6 ? $" and {wanted.Length - 6} more" : "";
            throw file.Error(
                $"expected one set of weights, found several: {several}{more}; save one of them alone: torch.save(checkpoint[KEY], path)");
        }
        WeightCandidate taken = wanted[0];
        WeightCandidate[] others = [.. found.Where(c => c != taken)];
        passedOver.AddRange(others.Select(c => $"{c.Shown} ({(c.IsAverage ? "EMA weights" : "weights")}, {c.Tensors.Count} tensors)"));
        List<string> notes = Notes(taken, online, averages);
        if (unnamed is not null) notes.Add($"Online weights taken; the EMA weights in '{unnamed}' are a list without names.");
        return new TensorFile(taken.Tensors, taken.Metadata, owner, notes, passedOver) { Format = format, Length = file.Length };
    }

    private static List<string> Notes(WeightCandidate taken, WeightCandidate[] online, WeightCandidate[] averages)
    {
        List<string> notes = [];
        string from = taken.Path.Length == 0 || taken.Path == "ema_model." ? "" : $" from '{taken.Path}'";
        if (averages.Length > 0)
        {
            bool others = (taken.IsAverage ? online : averages).Length > 0;
            string tail = others ? $"the {(taken.IsAverage ? "online" : "averaged")} ones can be chosen instead" : "the file has no others";
            notes.Add($"{(taken.IsAverage ? "EMA" : "Online")} weights taken{from}{taken.Step}; {tail}.");
        }
        else if (taken.Path.Length > 0)
        {
            notes.Add($"State dict found under '{taken.Path}'.");
        }

        if (taken.Removed.Length > 0) notes.Add($"Prefix '{taken.Removed}' of a wrapper removed.");
        return notes;
    }

    private static WeightCandidate[] Best(IEnumerable<WeightCandidate> candidates)
    {
        WeightCandidate[] all = [.. candidates];
        int lowest = all.Select(c => c.Rank).DefaultIfEmpty().Min();
        return [.. all.Where(c => c.Rank == lowest)];
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> Without(IEnumerable<KeyValuePair<string, Tensor>> tensors, string prefix) =>
        tensors.Select(t => KeyValuePair.Create(t.Key[prefix.Length..], t.Value));

    /// <summary>" (step 140001)", from the wrapper's counter: a scalar, or one element in older versions.</summary>
    private static string Step(List<KeyValuePair<string, Tensor>> tensors)
    {
        Tensor? step = tensors.Find(t => t.Key == "step").Value;
        return step is { Count: 1 } ? FormattableString.Invariant($" (step {step.ToDoubles()[0]:0})") : "";
    }

    private static Dictionary<string, string> MetadataOf(PickleDictionary dictionary)
    {
        Dictionary<string, string> metadata = new(StringComparer.Ordinal);
        if (dictionary.Attributes?.GetValueOrDefault(MetadataKey) is not PickleDictionary texts) return metadata;
        foreach ((object key, object? value) in texts)
            if (key is string name && value is string text) metadata.Add(name, text);
        return metadata;
    }

    private static string ListOf(List<string> names) =>
        names.Count == 0 ? "nothing" : string.Join(", ", names.Take(6)) + (names.Count > 6 ? $" and {names.Count - 6} more" : "");

    private static string Describe(object? value) => value switch
    {
        null => "None",
        Tensor tensor => $"one tensor [{string.Join(", ", tensor.Shape)}]",
        List<object?> list => $"a list of {list.Count}",
        object?[] tuple => $"a tuple of {tuple.Length}",
        OrderedDictionary<object, object?> dictionary => $"a dict of {dictionary.Count}",
        PickleObject or PickleGlobal => value.ToString()!,
        string => "text",
        long or System.Numerics.BigInteger => "an integer",
        double => "a number",
        bool => "a truth value",
        _ => $"a value of type {value.GetType().Name}",
    };
}
