using System.Text;

namespace RawDiffusion.Formats;

/// <summary>What keys and names in checkpoints say of the weights. All is linear in the length of the names.</summary>
internal static class WeightNames
{
    /// <summary>Longer names are no tensors'.</summary>
    public const int Longest = 1000;

    // In front of all names: DistributedDataParallel and AveragedModel, Lightning, torch.compile, FSDP, DeepSpeed, ema_pytorch.
    private static readonly string[] Wrappers =
    [
        "module.", "model.", "_orig_mod.", "_fsdp_wrapped_module.", "_forward_module.", "_checkpoint_wrapped_module.",
            "online_model.", "ema_model.",
    ];

    // Anywhere in a name, where a part of a network was wrapped.
    private static readonly string[] Inner = ["._orig_mod.", "._fsdp_wrapped_module.", "._checkpoint_wrapped_module."];

    private static readonly HashSet<string> AverageWords = ["ema", "swa", "avg", "average", "averaged", "averages", "shadow", "polyak"];

    private static readonly HashSet<string> OptimizerWords =
        ["optimizer", "optimizers", "optim", "opt", "scheduler", "schedulers", "sched", "scaler", "adam"];

    private static readonly HashSet<string> Containers =
        ["state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights"];

    /// <summary>Whether a key names averages of weights: <c>model_ema</c>, <c>emaModel</c>, <c>EMACallback</c>.</summary>
    public static bool IsAverage(string key) => Words(key).Any(AverageWords.Contains);

    /// <summary>Whether a key names what an optimizer keeps.</summary>
    public static bool IsOptimizer(string key) => Words(key).Any(OptimizerWords.Contains);

    /// <summary>Whether training scripts call a model so.</summary>
    public static bool IsContainer(string key) => Containers.Contains(key);

    /// <summary>The longest sequence of wrappers' prefixes that all names have, of those wrappers alone that are wanted.</summary>
    public static int CommonPrefix(IReadOnlyList<KeyValuePair<string, Tensor>> tensors, Predicate<string>? wanted = null)
    {
        int length = 0;
        while (tensors.Count > 0)
        {
            string? next = Wrappers.FirstOrDefault(w => StartsAt(tensors[0].Key, w, length));
            if (next is null || (wanted is not null && !wanted(next)) || !tensors.All(t => StartsAt(t.Key, next, length))) break;
            length += next.Length;
        }
        return length;
    }

    /// <summary>The wrapper's prefix of a name; null where it has none.</summary>
    public static string? Wrapper(string name) => Wrappers.FirstOrDefault(w => StartsAt(name, w, 0));

    /// <summary>A name without what wrappers of parts put into it.</summary>
    public static string WithoutInner(string name)
    {
        foreach (string inner in Inner)
            if (name.Contains(inner, StringComparison.Ordinal)) name = name.Replace(inner, ".", StringComparison.Ordinal);
        return name;
    }

    private static bool StartsAt(string name, string prefix, int start) =>
        string.CompareOrdinal(name, start, prefix, 0, prefix.Length) == 0;

    // "modelEMA_v2" is model, ema, v.
    private static IEnumerable<string> Words(string key)
    {
        var word = new StringBuilder();
        for (int i = 0; i < Math.Min(key.Length, Longest); i++)
        {
            char c = key[i];
            bool begins = char.IsUpper(c) && i > 0 && (char.IsLower(key[i - 1]) || (i + 1 < key.Length && char.IsLower(key[i + 1])));
            if ((begins || !char.IsLetter(c)) && word.Length > 0)
            {
                yield return word.ToString();
                word.Clear();
            }
            if (char.IsLetter(c)) word.Append(char.ToLowerInvariant(c));
        }
        if (word.Length > 0) yield return word.ToString();
    }
}
