namespace RawDiffusion.Diffusion.Data;

/// <summary>Why something in a folder or tar file is not among the images of a set.</summary>
public enum PassReason
{
    /// <summary>A file that is none by its name.</summary>
    NotPicture,

    /// <summary>Its name begins with a dot.</summary>
    Hidden,

    /// <summary>A folder that was reached by another path before.</summary>
    Again,

    /// <summary>A picture of a format that is not read.</summary>
    Format,

    /// <summary>A link within a tar file.</summary>
    TarLink,

    /// <summary>A link to nothing.</summary>
    DeadLink,

    /// <summary>Its name is no UTF-8, so that there is no text to open it by.</summary>
    NotUtf8,

    /// <summary>The system does not let this user in.</summary>
    Permission,

    /// <summary>The system cannot read it.</summary>
    Unreadable,
}

/// <summary>What one reason holds for.</summary>
/// <param name="Reason">The reason.</param>
/// <param name="Count">How many files and folders.</param>
/// <param name="Examples">Some of them; of files that are no pictures the endings.</param>
public sealed record PassedOverGroup(PassReason Reason, int Count, IReadOnlyList<string> Examples)
{
    /// <summary>The reason in words.</summary>
    public string Why => Reason switch
    {
        PassReason.NotPicture => "not pictures",
        PassReason.Hidden => "hidden",
        PassReason.Again => "folders reached before",
        PassReason.Format => "of a format that is not read",
        PassReason.TarLink => "links in tar files",
        PassReason.DeadLink => "links that lead nowhere",
        PassReason.NotUtf8 => "with names that are not UTF-8",
        PassReason.Permission => "without permission",
        PassReason.Unreadable => "that cannot be read",
        _ => throw new InvalidOperationException($"{Reason} has no words"),
    };

    /// <summary>Whether there may be pictures in it that the user wants: a strict run stops.</summary>
    public bool IsLoss => Reason is not (PassReason.NotPicture or PassReason.Hidden or PassReason.Again);

    /// <summary><c>2 not pictures (.txt)</c>.</summary>
    public override string ToString() =>
        $"{Count} {Why} ({string.Join(", ", Examples)}{(Examples.Count < Count && Reason != PassReason.NotPicture ? ", ..." : "")})";
}

/// <summary>What a set's source holds that is not among its images, and why.</summary>
public sealed class PassedOver
{
    private const int MaxExamples = 5;

    private readonly SortedDictionary<PassReason, PassedOverGroup> groups = [];

    /// <summary>Files and folders.</summary>
    public int Count => groups.Values.Sum(g => g.Count);

    /// <summary>By reason, in the order of <see cref="PassReason"/>.</summary>
    public IReadOnlyCollection<PassedOverGroup> Groups => groups.Values;

    /// <summary>Adds a file or folder.</summary>
    public void Add(PassReason reason, string path)
    {
        string example = reason == PassReason.NotPicture && Path.GetExtension(path) is { Length: > 0 } ending ? ending : path;
        PassedOverGroup group = groups.GetValueOrDefault(reason) ?? new PassedOverGroup(reason, 0, []);
        bool shown = group.Examples.Count < MaxExamples && !group.Examples.Contains(example);
        groups[reason] = group with { Count = group.Count + 1, Examples = shown ? [.. group.Examples, example] : group.Examples };
    }

    /// <summary>Those of some paths that are pictures by their names; the others are added.</summary>
    public IEnumerable<string> Pictures(IEnumerable<string> paths)
    {
        foreach (string path in paths)
        {
            if (Formats.Images.PictureNames.IsPicture(path)) yield return path;
            else Add(Formats.Images.PictureNames.IsRefused(path) ? PassReason.Format : PassReason.NotPicture, path);
        }
    }

    /// <summary><c>3 passed over: 2 not pictures (.txt), 1 without permission (lost+found)</c>.</summary>
    public override string ToString() => $"{Count} passed over{(Count > 0 ? ": " : "")}{string.Join(", ", groups.Values)}";
}
