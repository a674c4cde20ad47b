using System.Globalization;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Braces in names as webdataset has them, by Python's <c>braceexpand</c>: <c>{a,b}</c>, <c>{000..010}</c> with as many digits,
/// <c>{0..10..2}</c>, <c>{a..e}</c>, one within another. Braces with neither comma nor range stand for themselves.
/// </summary>
public static class BracePattern
{
    /// <summary>The most names that a pattern may stand for.</summary>
    public const int MaxNames = 1_000_000;

    private const int MaxLength = 4096;

    /// <summary>The names that a pattern stands for, in its order.</summary>
    /// <exception cref="ArgumentException">They are too many.</exception>
    public static IReadOnlyList<string> Expand(string pattern)
    {
        if (!pattern.Contains('{')) return [pattern];
        if (pattern.Length > MaxLength)
            throw new ArgumentException($"expected a pattern of at most {MaxLength} characters, found {pattern.Length}");
        string[] names = [.. All(pattern).Take(MaxNames + 1)];
        if (names.Length > MaxNames)
            throw new ArgumentException($"expected a pattern of at most {MaxNames} names, found more in '{pattern}'");
        return names;
    }

    // Nothing is made before it is asked for, so that a pattern of billions costs no more than those that are taken.
    private static IEnumerable<string> All(string pattern)
    {
        for (int open = pattern.IndexOf('{'); open >= 0; open = pattern.IndexOf('{', open + 1))
        {
            if (Close(pattern, open) is not { } close || Choices(pattern[(open + 1)..close]) is not { } choices) continue;
            string before = pattern[..open], after = pattern[(close + 1)..];
            return choices.SelectMany(choice => All(after).Select(rest => before + choice + rest));
        }
        return [pattern];
    }

    private static int? Close(string pattern, int open)
    {
        int depth = 0;
        for (int i = open; i < pattern.Length; i++)
        {
            depth += pattern[i] == '{' ? 1 : pattern[i] == '}' ? -1 : 0;
            if (depth == 0) return i;
        }
        return null;
    }

    private static IEnumerable<string>? Choices(string inside)
    {
        List<string> parts = [];
        (int depth, int start) = (0, 0);
        for (int i = 0; i < inside.Length; i++)
        {
            depth += inside[i] == '{' ? 1 : inside[i] == '}' ? -1 : 0;
            if (inside[i] != ',' || depth != 0) continue;
            parts.Add(inside[start..i]);
            start = i + 1;
        }
        return parts.Count > 0 ? parts.Append(inside[start..]).SelectMany(All) : Range(inside);
    }

    private static IEnumerable<string>? Range(string inside)
    {
        string[] parts = inside.Split("..");
        long step = 1;
        if (parts.Length is not (2 or 3) || (parts.Length == 3 && !TryNumber(parts[2], out step))) return null;
        step = Math.Max(1, Math.Abs(step));
        if (parts[0] is [var first and (>= 'a' and <= 'z' or >= 'A' and <= 'Z')]
            && parts[1] is [var last and (>= 'a' and <= 'z' or >= 'A' and <= 'Z')])
        {
            return Numbers(first, last, step).Select(c => ((char)c).ToString());
        }

        if (!TryNumber(parts[0], out long from) || !TryNumber(parts[1], out long to)) return null;
        bool padded = parts[..2].Any(p => p.TrimStart('-') is ['0', _, ..]);
        int width = padded ? Math.Max(parts[0].Length, parts[1].Length) : 0;
        return Numbers(from, to, step).Select(
            n => n.ToString(CultureInfo.InvariantCulture).TrimStart('-').PadLeft(width - (n < 0 ? 1 : 0), '0').Insert(0, n < 0 ? "-" : ""));
    }

    private static IEnumerable<long> Numbers(long from, long to, long step)
    {
        for (long n = from; from <= to ? n <= to : n >= to; n += from <= to ? step : -step) yield return n;
    }

    // Far from the ends of the type, so that no step leaves it.
    private static bool TryNumber(string text, out long value) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value)
        && value is > -(1L << 60) and < 1L << 60;
}
