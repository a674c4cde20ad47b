using System.CommandLine;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Data;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Decodes and resizes a set's images once, into one file that takes the set's place.</summary>
internal sealed class DatasetPack(Terminal terminal)
{
    private readonly DataOptions dataOptions = new();
    private readonly ReportOptions reportOptions = new();
    private readonly Argument<string> source = new("SET") { Description = DataOptions.Sources };
    private readonly Option<string?> target = OptionOf.Text("--to", "FILE", $"File to write, which ends in {PackedSet.Extension}");
    private readonly Option<bool> strict = OptionOf.Flag("--strict", "Stop at a picture that cannot be read, instead of leaving it out");
    private readonly Option<int?> threads = OptionOf.Integer("--threads", "CPU threads [default: one for each core]", 1, 1024);

    public static Command Create(Terminal terminal)
    {
        var verb = new DatasetPack(terminal);
        var command = new VerbCommand("pack",
            "Decodes and resizes all images of a set into one file, from which they load faster.",
            "rawdiffusion dataset pack pictures --size 64 --to pictures.pack");
        command.Arguments.Add(verb.source);
        command.Options.Add(verb.target);
        command.Options.Add(verb.strict);
        command.Options.Add(verb.threads);
        verb.dataOptions.AddTo(command);
        verb.reportOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        string path = result.GetRequiredValue(source);
        string to = result.GetValue(target) ?? throw new UsageException($"dataset pack needs --to FILE{PackedSet.Extension}");
        if (Path.GetExtension(to) != PackedSet.Extension)
            throw new UsageException($"--to takes a file that ends in {PackedSet.Extension}, found '{to}'");
        using ImageSet set = dataOptions.Open(result, path, reportOptions.Seed(result), strict: result.GetValue(strict));
        terminal.TellPassedOver(set);
        string full = Path.GetFullPath(to), name = Path.GetFileName(full);
        using var folder = new OutputFolder(Path.GetDirectoryName(full)!, terminal.Cancellation);
        folder.Reserve([name], set.Files);
        folder.Add(name, temporary => ProgressDisplay.Run(terminal, $"packing {name}", set.Count, done =>
        {
            var options = new PackOptions { Strict = result.GetValue(strict), Warn = terminal.Warn, Progress = done };
            if (result.GetValue(threads) is int count) options = options with { Threads = count };
            PackedSet.Write(set, temporary, options, terminal.Cancellation);
            return true;
        }));
        string written = folder.Commit()[0];
        using var packed = PackedSet.Open(written);
        if (reportOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                json.WriteNumber("count", packed.Count);
                json.WriteNumber("skipped", packed.Skipped);
                json.PassedOver(set);
                json.WriteNumber("size", packed.Size);
                json.WriteString("values", Values(packed));
                json.Strings("files", [written]);
            });
            return ExitCode.Success;
        }
        string skipped = packed.Skipped == 0 ? "" : $", {packed.Skipped} skipped";
        terminal.Out.WriteLine($"packed {packed.Count} images of {packed.Size} x {packed.Size} pixels as {Values(packed)}{skipped}: "
            + $"{written}");
        return ExitCode.Success;
    }

    private static string Values(PackedSet set) => set.ValueBytes == 1 ? "bytes" : "floats";
}
