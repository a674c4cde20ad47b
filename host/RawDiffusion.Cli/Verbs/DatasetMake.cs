using System.CommandLine;
using System.Globalization;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Data.Procedural;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Cli.Verbs;

/// <summary>
/// Writes a procedural set as files: <c>images/000000.png</c>, its masks side by side in <c>masks/000000.png</c>, and what is in
/// all images in <c>attributes.json</c> and <c>attributes.csv</c>.
/// </summary>
internal sealed class DatasetMake(Terminal terminal)
{
    private const int DefaultCount = 1000;
    private const string Csv = "attributes.csv";

    private readonly DataOptions dataOptions = new();
    private readonly ReportOptions reportOptions = new();
    private readonly Argument<string> source = new("NAME") { Description = $"Procedural set ({string.Join("|", ProceduralSet.Names)})" };
    private readonly Option<string?> output = OptionOf.Text("--out", "DIR", "Folder for the files [default: NAME]");

    public static Command Create(Terminal terminal)
    {
        var verb = new DatasetMake(terminal);
        var command = new VerbCommand("make",
            $"Writes images of a procedural set with masks and attributes of their objects; {DefaultCount} where no --count is given.",
            "rawdiffusion dataset make tetris --count 1000 --out tetris");
        command.Arguments.Add(verb.source);
        command.Options.Add(verb.output);
        verb.dataOptions.AddTo(command);
        verb.reportOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        string name = result.GetRequiredValue(source);
        if (!ProceduralSet.Names.Contains(name))
            throw new UsageException($"dataset make takes a procedural set ({string.Join(", ", ProceduralSet.Names)}), found '{name}'");
        using ImageSet set = dataOptions.Open(result, name, reportOptions.Seed(result), DefaultCount);
        string path = result.GetValue(output) ?? name;
        using var folder = new OutputFolder(path, terminal.Cancellation);
        using var images = new OutputFolder(Path.Combine(path, "images"), terminal.Cancellation);
        using var masks = new OutputFolder(Path.Combine(path, "masks"), terminal.Cancellation);
        if (FileStatus.Of(images.FullPath)!.Identity == FileStatus.Of(masks.FullPath)!.Identity)
        {
            throw new CommandException(
                $"expected two folders for images and masks, found that {images.FullPath} and {masks.FullPath} are one");
        }

        folder.Reserve([MadeSet.TableName, Csv], []);
        foreach (OutputFolder pictures in (OutputFolder[])[images, masks])
            pictures.Reserve(Enumerable.Range(0, set.Count).Select(MadeSet.FileName), []);
        GroundTruth[] truths = ProgressDisplay.Run(terminal, $"making {name}", set.Count, made => WriteImages(set, images, masks, made));
        folder.Add(MadeSet.TableName, file =>
        {
            using FileStream stream = File.Create(file);
            MadeSet.WriteTable(stream, set, truths);
        });
        folder.Add(Csv, file => WriteCsv(file, set, truths));
        images.Commit();
        masks.Commit();
        IReadOnlyList<string> written = folder.Commit();
        if (reportOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                json.Set(set.Identity, set);
                json.Strings("files", [images.FullPath, masks.FullPath, .. written]);
            });
            return ExitCode.Success;
        }
        terminal.Out.WriteLine($"made {set.Count} images of {set.Size} x {set.Size} pixels and the masks of their {set.Objects} objects in "
            + $"{folder.FullPath}");
        return ExitCode.Success;
    }

    private GroundTruth[] WriteImages(ImageSet set, OutputFolder images, OutputFolder masks, Action made)
    {
        var truths = new GroundTruth[set.Count];
        for (int i = 0; i < set.Count; i++)
        {
            terminal.Cancellation.ThrowIfCancellationRequested();
            float[] pixels = set.Load(i);
            GroundTruth truth = truths[i] = set.TruthOf(i)!;
            images.Add(MadeSet.FileName(i), path => ImageFile.WritePng(path, ImageSheet.Of(set.Size, 1, [pixels])));
            ReadOnlyMemory<float>[] tiles = [.. Enumerable.Range(0, set.Objects)
                .Select(k => (ReadOnlyMemory<float>)truth.Masks.AsMemory(k * set.Size * set.Size, set.Size * set.Size))];
            masks.Add(MadeSet.FileName(i), path => ImageFile.WritePng(path, PngRow.Of(set.Size, 1, tiles)));
            made();
        }
        return truths;
    }

    private static void WriteCsv(string path, ImageSet set, GroundTruth[] truths)
    {
        using var csv = new StreamWriter(path);
        csv.NewLine = "\n";
        csv.WriteLine(string.Join(",", ["image", "object", .. set.AttributeNames]));
        for (int i = 0; i < truths.Length; i++)
        {
            int k = 0;
            foreach (float[] row in truths[i].Attributes.Chunk(set.AttributeNames.Count))
            {
                csv.WriteLine(string.Join(
                    ",", [MadeSet.FileName(i), $"{k++}", .. row.Select(v => v.ToString(CultureInfo.InvariantCulture))]));
            }
        }
    }
}
