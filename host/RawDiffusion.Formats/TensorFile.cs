using System.Diagnostics.CodeAnalysis;

namespace RawDiffusion.Formats;

/// <summary>Named tensors in file order, and what keeps their bytes reachable. Dispose closes the file.</summary>
public sealed class TensorFile : IDisposable
{
    private readonly OrderedDictionary<string, Tensor> tensors;
    private readonly IDisposable? owner;

    /// <summary>Makes a file from tensors that are in memory, or that read from <paramref name="owner"/>.</summary>
    /// <param name="tensors">Names and tensors, in order.</param>
    /// <param name="metadata">Free text that the file carries.</param>
    /// <param name="owner">Closed by <see cref="Dispose"/>.</param>
    /// <param name="notes">What the reader did to the file's content; see <see cref="Notes"/>.</param>
    /// <param name="passedOver">What else the file holds; see <see cref="PassedOver"/>.</param>
    /// <exception cref="ArgumentException">A name occurs twice.</exception>
    public TensorFile(
        IEnumerable<KeyValuePair<string, Tensor>> tensors,
        IReadOnlyDictionary<string, string>? metadata = null,
        IDisposable? owner = null,
        IReadOnlyList<string>? notes = null,
        IReadOnlyList<string>? passedOver = null)
        : this(new OrderedDictionary<string, Tensor>(tensors, StringComparer.Ordinal), metadata, owner, notes, passedOver)
    {
    }

    /// <summary>Takes over a dictionary, which a reader has made for this.</summary>
    internal TensorFile(
        OrderedDictionary<string, Tensor> tensors,
        IReadOnlyDictionary<string, string>? metadata,
        IDisposable? owner,
        IReadOnlyList<string>? notes,
        IReadOnlyList<string>? passedOver)
    {
        this.tensors = tensors;
        Metadata = metadata ?? new Dictionary<string, string>();
        Notes = notes ?? [];
        PassedOver = passedOver ?? [];
        this.owner = owner;
    }

    /// <summary>Which kind of file it is, for people; empty where the tensors are in memory.</summary>
    public string Format { get; init; } = "";

    /// <summary>The file's bytes.</summary>
    public long Length { get; init; }

    /// <summary>Tensor names in file order.</summary>
    public IReadOnlyList<string> Names => tensors.Keys;

    /// <summary>Names and tensors, in file order.</summary>
    internal IReadOnlyCollection<KeyValuePair<string, Tensor>> Tensors => tensors;

    /// <summary>
    /// Free text that the file carries: safetensors' <c>__metadata__</c>, or the attribute of that name of a PyTorch state dict.
    /// </summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>
    /// One sentence for each thing that the reader did to the file's content, for people to read: where the state dict
    /// was found, which prefix was removed, whether EMA weights were taken. Empty where the tensors are as in the file.
    /// </summary>
    public IReadOnlyList<string> Notes { get; }

    /// <summary>
    /// What the file holds beside these tensors, by key and kind: an optimizer's state, other weights, settings, unknown objects.
    /// </summary>
    public IReadOnlyList<string> PassedOver { get; }

    /// <summary>The tensor of that name.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public Tensor this[string name] =>
        tensors.TryGetValue(name, out Tensor? tensor) ? tensor : throw new KeyNotFoundException($"no tensor named '{name}'");

    /// <summary>Looks a tensor up by name.</summary>
    public bool TryGet(string name, [NotNullWhen(true)] out Tensor? tensor) => tensors.TryGetValue(name, out tensor);

    /// <inheritdoc/>
    public void Dispose() => owner?.Dispose();
}
