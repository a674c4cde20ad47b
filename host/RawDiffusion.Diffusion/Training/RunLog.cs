using System.Globalization;
using System.Text;
using System.Text.Json;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Training;

/// <summary>Sums since the last line of the log.</summary>
/// <param name="Steps">How many steps they are of.</param>
/// <param name="Loss">Sum of losses.</param>
/// <param name="GradientNorm">Sum of norms.</param>
/// <param name="Overflows">Steps of them that were skipped, as their gradients overflowed: they have no norm.</param>
public readonly record struct LogWindow(int Steps, double Loss, double GradientNorm, int Overflows = 0)
{
    /// <summary>With one more step.</summary>
    public LogWindow With(StepResult step) => step.LowerScale is null
        ? this with { Steps = Steps + 1, Loss = Loss + step.Loss, GradientNorm = GradientNorm + step.GradientNorm }
        : this with { Steps = Steps + 1, Loss = Loss + step.Loss, Overflows = Overflows + 1 };

    /// <summary>Text that <see cref="Parse"/> gives back exactly.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Steps} {Loss:R} {GradientNorm:R}{(Overflows > 0 ? $" {Overflows}" : "")}");

    /// <summary>Reads <see cref="ToString"/>.</summary>
    /// <exception cref="FileFormatException">It is something else.</exception>
    public static LogWindow Parse(string text)
    {
        string[] parts = text.Split(' ');
        int overflows = 0;
        return parts.Length is 3 or 4
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int steps)
            && double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out double loss)
            && double.TryParse(parts[2], NumberStyles.Float, CultureInfo.InvariantCulture, out double norm)
            && (parts.Length == 3 || int.TryParse(parts[3], NumberStyles.None, CultureInfo.InvariantCulture, out overflows))
            ? new LogWindow(steps, loss, norm, overflows)
            : throw new FileFormatException($"expected the sums of a log window, found '{text}'");
    }
}

/// <summary>
/// The log of a run, a JSON object on each line: <c>step</c>; <c>loss</c> and <c>gradient_norm</c>, means since the line before;
/// <c>rate</c>; <c>seconds</c> and <c>images_per_second</c> since then, and <c>waited</c>, seconds of them that went into waiting for
/// images; <c>skipped</c>, images that could not be read so far; in fp16, where there were any, <c>overflows</c>, steps since the line
/// before that were skipped as their gradients overflowed. Step, loss, norm, rate and overflows are the same whenever the run is done
/// again.
/// </summary>
/// <param name="path">Path of the file.</param>
public sealed class RunLog(string path)
{
    private const int MaxBytes = 1 << 30;

    /// <summary>Removes what comes after a step, and a line that was not written to its end.</summary>
    public void Truncate(long step)
    {
        if (!File.Exists(path)) return;
        string all = Encoding.UTF8.GetString(RegularFile.ReadAllBytes(path, MaxBytes));
        string[] kept = [.. all.Split('\n').SkipLast(1).Where(line => StepOf(line) is long at && at <= step)];
        string text = string.Concat(kept.Select(line => line + "\n"));
        if (text != all) AtomicFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));
    }

    /// <summary>Adds a line.</summary>
    /// <exception cref="IOException">The disk is full.</exception>
    public void Append(StepResult last, LogWindow window, double seconds, int images, double waited, int skipped)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("step", last.Step);
            json.WriteNumber("loss", window.Loss / window.Steps);
            if (window.Steps > window.Overflows) json.WriteNumber("gradient_norm", window.GradientNorm / (window.Steps - window.Overflows));
            else json.WriteNull("gradient_norm");
            json.WriteNumber("rate", last.LearningRate);
            json.WriteNumber("seconds", Math.Round(seconds, 4));
            json.WriteNumber("images_per_second", Math.Round(images / Math.Max(seconds, 1e-9), 3));
            json.WriteNumber("waited", Math.Round(waited, 4));
            json.WriteNumber("skipped", skipped);
            if (window.Overflows > 0) json.WriteNumber("overflows", window.Overflows);
            json.WriteEndObject();
        }
        buffer.WriteByte((byte)'\n');
        // One write: a line is there whole, but for a full disk and the end of the machine, after which Truncate removes it.
        using var stream = new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.Read, 0);
        stream.Write(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
    }

    private static long? StepOf(string line)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            return json.RootElement.ValueKind == JsonValueKind.Object && json.RootElement.TryGetProperty("step", out JsonElement step)
                && step.TryGetInt64(out long value) ? value : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            return null;
        }
    }
}
