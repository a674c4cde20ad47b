using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Options;

/// <summary>Options whose errors say which values there are. Values are parsed here, without reflection.</summary>
internal static class OptionOf
{
    /// <summary>A whole number.</summary>
    public static Option<int?> Integer(string name, string description, int min = int.MinValue, int max = int.MaxValue) => new(name)
    {
        Description = description,
        HelpName = "N",
        CustomParser = result =>
        {
            if (int.TryParse(Value(result), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= min
                && value <= max)
            {
                return value;
            }
            string range = (min, max) switch
            {
                (int.MinValue, _) => "",
                (_, int.MaxValue) => $" of at least {min}",
                _ => $" from {min} to {max}",
            };
            result.AddError($"{name} takes a whole number{range}, found '{Value(result)}'");
            return null;
        },
    };

    /// <summary>A number that is finite in single precision, in which everything computes.</summary>
    public static Option<double?> Number(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "X",
        CustomParser = result =>
        {
            if (double.TryParse(Value(result), NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                && float.IsFinite((float)value))
            {
                return value;
            }
            result.AddError($"{name} takes a number, found '{Value(result)}'");
            return null;
        },
    };

    /// <summary>One of a few words.</summary>
    public static Option<string> Choice(string name, string description, string defaultValue, params string[] others)
    {
        string[] all = [defaultValue, .. others];
        return new(name)
        {
            Description = $"{description} ({string.Join("|", all)})",
            HelpName = name.TrimStart('-'),
            DefaultValueFactory = _ => defaultValue,
            CustomParser = result =>
            {
                if (!all.Contains(Value(result)))
                    result.AddError($"{name} takes {string.Join(", ", all[..^1])} or {all[^1]}, found '{Value(result)}'");
                return Value(result);
            },
        };
    }

    /// <summary>What is done with pictures that a camera has turned.</summary>
    public static Option<string> Orientation() =>
        Choice("--orientation", "Whether pictures are turned upright as their EXIF data says, or left as stored", "exif", "raw");

    /// <summary>What the word of that option means.</summary>
    public static ImageOrientation Orientation(string word) => word == "raw" ? ImageOrientation.Raw : ImageOrientation.Exif;

    /// <summary>What the text of --crop means; null where it is absent.</summary>
    /// <exception cref="UsageException">It is no crop.</exception>
    public static ImageCrop? Crop(string? text)
    {
        try
        {
            return text is null ? null : ImageCrop.Parse(text);
        }
        catch (FormatException e)
        {
            throw new UsageException($"--crop takes {e.Message}");
        }
    }

    /// <summary>The name of a file or folder, or other text that is not empty.</summary>
    public static Option<string?> Text(string name, string helpName, string description) => new(name)
    {
        Description = description,
        HelpName = helpName,
        CustomParser = result =>
        {
            if (Value(result).Length == 0) result.AddError($"{name} takes {helpName}, found ''");
            return Value(result);
        },
    };

    /// <summary>On or off.</summary>
    public static Option<bool> Flag(string name, string description) => new(name) { Description = description };

    private static string Value(ArgumentResult result) => result.Tokens[0].Value;
}
