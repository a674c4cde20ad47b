using System.CommandLine;
using System.Globalization;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Images to a model: begins a run in a folder, or goes on with one. Source: the authors' <c>image_train.py</c>.</summary>
internal sealed class Train(Terminal terminal)
{
    private readonly RunOptions runOptions = new();
    private readonly Option<string?> output = OptionOf.Text(
        "--out", "DIR", "Folder of the new run: settings, log, samples, checkpoints, model");
    private readonly Option<string?> resume = OptionOf.Text("--resume", "DIR", "Go on with the run in that folder");
    private readonly Option<bool> json = OptionOf.Flag("--json", "Print the result as JSON; progress goes to standard error");

    public static Command Create(Terminal terminal)
    {
        var verb = new Train(terminal);
        var command = new VerbCommand("train",
            "Trains a model on images. A run can be ended at any moment; --resume goes on as if it had not been.",
            "rawdiffusion train --data tetris --preset tetris --num-channels 32 --num-head-channels 32 --batch 8 --steps 20000 --out "
            + "runs/tetris")
        {
            IsShared = true,
        };
        command.Options.Add(verb.output);
        command.Options.Add(verb.resume);
        verb.runOptions.AddTo(command);
        command.Options.Add(verb.json);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        (string? begun, string? resumed) = (result.GetValue(output), result.GetValue(resume));
        if (begun is null == resumed is null)
            throw new UsageException("expected either --out DIR, to begin a run there, or --resume DIR, to go on with one");
        if (terminal.Ranks is { Rank: > 0 } leader) return Follow(leader);
        using RunFolder? old = resumed is null ? null : RunFolder.Open(resumed);
        RunConfig config = old is null ? runOptions.Config(result) : runOptions.Config(result, old);
        if (terminal.Ranks is { } ranks) TrainingRanks.Share(ranks, config);
        using IDevice device = Open(config);
        using ImageSet set = OpenImages(config, resumed: old is not null);
        if (begun is not null) RequireOutside(config, begun);
        terminal.TellPassedOver(set);
        // What cannot begin leaves no folder.
        using RunFolder? made = old is null ? RunFolder.Create(begun!) : null;
        RunFolder folder = old ?? made!;
        var display = new TrainingDisplay(terminal);
        string commandLine = string.Join(' ', Environment.GetCommandLineArgs().Skip(1).Prepend("rawdiffusion"));
        using TrainingRun run = old is null
            ? Begin(folder, config, device, set, commandLine)
            : TrainingRun.Resume(folder, config, device, set, () => Init(config), commandLine, terminal.Warn, terminal.Ranks,
            runOptions.HasMoved(result));

        terminal.EndsInGoodOrder();
        using CancellationTokenRegistration told = terminal.Cancellation.Register(
            () => terminal.Tell("interrupted: the step at hand is finished and saved; a second Ctrl-C ends it at once"));
        string steps = run.Step < config.Training.Steps ? $"steps {run.Step + 1} to {config.Training.Steps}"
            : $"{run.Step} steps done and none left of {config.Training.Steps}";
        terminal.Tell(string.Create(CultureInfo.InvariantCulture,
            $"{DecompTensors.ParameterCount(run.Network):N0} parameters, {set.Count:N0} images of {set.Size} x {set.Size}, {steps} on "
            + $"{device.Description}{(terminal.Ranks is { Size: var size } ? $" of each of {size} processes" : "")}, "
            + $"{run.MemoryBytes / 1048576.0:0} MiB"));
        RunResult trained = display.Run(progress => run.Run(progress, terminal.Cancellation));
        if (!trained.Finished)
        {
            terminal.Error.WriteLine(
                $"interrupted at step {trained.Step} and saved: go on with rawdiffusion train --resume {folder.FullPath}");
        }
        Report(result, folder, set, run, trained, device, config);
        return trained.Finished ? ExitCode.Success : ExitCode.Interrupted;
    }

    // A run that goes on would take its samples for images.
    private static void RequireOutside(RunConfig config, string path)
    {
        if (config.Images.BaseFolder is not null || File.Exists(Path.Combine(config.Data, MadeSet.TableName))
            || FileStatus.Of(config.Data) is not { Kind: "folder" } images)
        {
            return;
        }
        for (string? folder = Path.GetFullPath(path); folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (FileStatus.Of(folder) == images)
            {
                throw new CommandException($"expected a folder for the run outside the images' folder {config.Data}, found {path}: its "
                    + "samples would become images");
            }
        }
    }

    // Nothing of this process's own decides anything but a signal: the first's settings do.
    private int Follow(ICommunicator ranks)
    {
        RunConfig config = TrainingRanks.Share(ranks, null);
        using IDevice device = Open(config);
        using ImageSet set = OpenImages(config, resumed: false);
        terminal.EndsInGoodOrder();
        TrainingRanks.Follow(config, device, set, ranks, terminal.Cancellation);
        return ExitCode.Success;
    }

    private IDevice Open(RunConfig config) => DeviceOptions.Open(config.Device, config.Precision, config.Threads, terminal, together: true);

    // What cannot be trained is told before all images are decoded.
    private ImageSet OpenImages(RunConfig config, bool resumed)
    {
        ImageSet images;
        try
        {
            images = UsageException.Guard(config.OpenImages);
        }
        catch (Exception e) when (resumed && e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"{e.Message}; where the run's images have moved, say where to with --data");
        }
        try
        {
            config.NetworkFor(images.Size);
            return TrainingRanks.Cached(
                config, terminal.Ranks, images, (set, folder) => ProgressDisplay.Run(terminal, $"decoding {set.Name}", set.Count,
                done => CachedSet.Of(set, folder, terminal.Warn, done, terminal.Cancellation)));
        }
        catch
        {
            images.Dispose();
            throw;
        }
    }

    private TrainingRun Begin(RunFolder folder, RunConfig config, IDevice device, ImageSet set, string commandLine)
    {
        using TensorFile? init = Init(config);
        return TrainingRun.Begin(folder, config, device, set, init, commandLine, terminal.Warn, terminal.Ranks);
    }

    private TensorFile? Init(RunConfig config)
    {
        if (config.Init is not { } path) return null;
        TensorFile file = ModelOptions.OpenFile(path, WeightSelection.Auto);
        foreach (string note in file.Notes) terminal.Tell($"{Path.GetFileName(path)}: {note}");
        (string Flag, string Of, string Now)[] settings =
        [
            ("--predict", ModelMetadata.PredictOf(file.Metadata), config.Training.Predicts.Name()),
            ("--schedule", ModelMetadata.ScheduleOf(file.Metadata), config.Schedule),
            ("--diffusion-steps", $"{ModelMetadata.DiffusionStepsOf(file.Metadata)}", $"{config.DiffusionSteps}"),
        ];
        foreach ((string flag, string of, string now) in settings)
            if (of != now) terminal.Warn($"{Path.GetFileName(path)} was trained with {flag} {of}, this run trains with {now}");
        return file;
    }

    private void Report(ParseResult result, RunFolder folder, ImageSet set, TrainingRun run, RunResult trained, IDevice device,
        RunConfig config)
    {
        double seconds = Math.Round(trained.Seconds, 3);
        if (result.GetValue(json))
        {
            JsonReport.Write(terminal.Out, writer =>
            {
                writer.WriteString("run", folder.FullPath);
                writer.WriteString("model", folder.Model);
                writer.WriteString("checkpoint", folder.Checkpoint(trained.Step));
                writer.WriteString("device", device.Description);
                writer.WriteNumber("step", trained.Step);
                writer.WriteNumber("steps", config.Training.Steps);
                writer.WriteBoolean("finished", trained.Finished);
                if (trained.Last is { } last)
                {
                    writer.WriteNumber("loss", last.Loss);
                    if (last.LowerScale is null) writer.WriteNumber("gradient_norm", last.GradientNorm);
                    else writer.WriteNull("gradient_norm");
                }
                writer.PassedOver(set);
                writer.WriteNumber("parameters", DecompTensors.ParameterCount(run.Network));
                writer.WriteNumber("seconds", seconds);
                writer.WriteNumber("skipped_images", trained.Skipped);
                writer.WriteNumber("peak_memory_bytes", ProcessMemory.Peak());
            });
            return;
        }
        if (!trained.Finished) return;
        if (trained.Skipped > 0) terminal.Out.WriteLine($"{trained.Skipped} images could not be read and were skipped");
        terminal.Out.WriteLine(folder.Model);
        terminal.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"trained {trained.Step} steps, those of this call in {seconds:0.0} s on {device.Description}"));
    }
}
