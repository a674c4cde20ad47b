using System.Collections.Concurrent;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// What becomes of images that cannot be read, wherever a set is read: each is told of once, counted and left out; in a strict run the
/// first is an error. Thread-safe.
/// </summary>
/// <param name="set">Images to take batches from.</param>
/// <param name="strict">Whether one that cannot be read is an error.</param>
/// <param name="warn">Told of each that is skipped.</param>
public sealed class ReadPolicy(ImageSet set, bool strict, Action<string>? warn)
{
    private readonly ConcurrentDictionary<int, string> unreadable = new();

    /// <summary>Images that could not be read, each counted once.</summary>
    public int Skipped => unreadable.Count;

    /// <summary>Reads an image, but one that could not be read before.</summary>
    /// <param name="index">Which.</param>
    /// <param name="read">Reads it.</param>
    /// <returns>Whether it was read.</returns>
    /// <exception cref="FileFormatException">It cannot be read, in a strict run.</exception>
    public bool TryRead(int index, Action read)
    {
        if (unreadable.ContainsKey(index)) return false;
        if (Attempt(read) is not { } problem) return true;
        Refuse(index, problem);
        return false;
    }

    /// <summary>Leaves out an image that could not be read.</summary>
    /// <exception cref="FileFormatException">The run is strict.</exception>
    internal void Refuse(int index, Exception problem)
    {
        if (strict) throw new FileFormatException($"{set.NameOf(index)}: the image cannot be read: {problem.Message}", problem);
        if (unreadable.TryAdd(index, problem.Message)) warn?.Invoke($"{set.NameOf(index)} is skipped: {problem.Message}");
    }

    /// <summary>What stands against reading an image; null where it was read. Other exceptions are defects, and pass.</summary>
    internal static Exception? Attempt(Action read)
    {
        try
        {
            read();
            return null;
        }
        catch (Exception e) when (e is FileFormatException or IOException or UnauthorizedAccessException)
        {
            return e;
        }
    }

    /// <summary>The error of a set that is left with nothing.</summary>
    public FileFormatException NoneLeft()
    {
        int first = unreadable.IsEmpty ? 0 : unreadable.Keys.Min();
        return new($"{set.Name}: none of the {set.Count} images can be read; the first, {set.NameOf(first)}: "
            + $"{unreadable.GetValueOrDefault(first)}");
    }
}
