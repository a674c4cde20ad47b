using System.CommandLine;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Verbs;

/// <summary>One picture of some images of a set as training sees them, each with its objects alone where they are known.</summary>
internal sealed class DatasetShow(Terminal terminal)
{
    private const int DefaultCount = 24;
    private const int Columns = 12;
    private const string Name = "sheet.png";

    private readonly DataOptions dataOptions = new();
    private readonly ReportOptions reportOptions = new();
    private readonly Argument<string> source = new("SET") { Description = DataOptions.Sources };
    private readonly Option<string?> output = OptionOf.Text("--out", "DIR", $"Folder for {Name} [default: out]");

    public static Command Create(Terminal terminal)
    {
        var verb = new DatasetShow(terminal);
        var command = new VerbCommand("show",
            $"Draws images of a set on a sheet, {DefaultCount} where no --count is given; beside each its objects, where they are known.",
            "rawdiffusion dataset show shapes --out sheets");
        command.Arguments.Add(verb.source);
        command.Options.Add(verb.output);
        verb.dataOptions.AddTo(command);
        verb.reportOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        using ImageSet set = dataOptions.Open(result, result.GetRequiredValue(source), reportOptions.Seed(result), DefaultCount);
        terminal.TellPassedOver(set);
        var policy = new ReadPolicy(set, strict: false, terminal.Warn);
        using var folder = new OutputFolder(result.GetValue(output) ?? "out", terminal.Cancellation);
        folder.Reserve([Name], set.Files);
        List<float[]> tiles = [];
        for (int i = 0; i < set.Count; i++)
        {
            terminal.Cancellation.ThrowIfCancellationRequested();
            (float[] pixels, GroundTruth? truth) = ([], null);
            if (!policy.TryRead(i, () => (pixels, truth) = (set.Load(i), set.TruthOf(i)))) continue;
            tiles.Add(pixels);
            if (truth is not null) tiles.AddRange(Enumerable.Range(0, set.Objects).Select(k => Alone(pixels, truth, k)));
        }
        if (tiles.Count == 0) throw policy.NoneLeft();
        int group = set.Objects + 1, columns = Math.Min(tiles.Count, Math.Max(1, Columns / group) * group);
        folder.Add(Name, path => ImageFile.WritePng(path, ImageSheet.Of(set.Size, columns, tiles)));
        string written = folder.Commit()[0];
        if (reportOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                json.Set(set.Name, set);
                json.Strings("files", [written]);
            });
            return ExitCode.Success;
        }
        terminal.Out.WriteLine(written);
        return ExitCode.Success;
    }

    /// <summary>An object on a middle gray, which neither black nor white objects look like.</summary>
    private static float[] Alone(float[] pixels, GroundTruth truth, int k)
    {
        int area = pixels.Length / 3;
        return [.. pixels.Select((value, i) => 0.5f + truth.Masks[k * area + i / 3] * (value - 0.5f))];
    }
}
