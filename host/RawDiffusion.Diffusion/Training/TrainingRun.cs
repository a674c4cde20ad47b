using System.Diagnostics;
using System.Globalization;
using RawDiffusion.Diffusion.Checkpoints;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Engine;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Training;

/// <summary>A step of a run, for whoever shows its progress.</summary>
/// <param name="Step">What it found.</param>
/// <param name="Steps">Steps of the whole run.</param>
/// <param name="Seconds">What it took, with waiting for images.</param>
/// <param name="Images">Images of it.</param>
/// <param name="Logged">Whether the log has a line of it.</param>
public readonly record struct RunProgress(StepResult Step, int Steps, double Seconds, int Images, bool Logged);

/// <summary>How a run ended.</summary>
/// <param name="Step">Steps done.</param>
/// <param name="Last">What the last step found; null where there was nothing left to do.</param>
/// <param name="Seconds">What the steps of this process took.</param>
/// <param name="Skipped">Images that could not be read.</param>
/// <param name="Finished">False where it was asked to stop.</param>
public sealed record RunResult(long Step, StepResult? Last, double Seconds, int Skipped, bool Finished);

/// <summary>
/// A run: steps, log, samples, and checkpoints from which it continues bit for bit, whatever ended it. What a run computes is a
/// function of its settings, its images and the device, not of where it was interrupted or of the number of threads.
/// </summary>
public sealed class TrainingRun : IDisposable
{
    private readonly RunFolder folder;
    private readonly RunConfig config;
    private readonly IDevice device;
    private readonly ImageSet set;
    private readonly Action<string> tell;
    private readonly ICommunicator? ranks;
    private readonly RunLog log;
    private readonly string images, settings;
    private Trainer trainer;
    private LogWindow window;
    private long saved = -1;
    private CancellationToken stopped;

    private TrainingRun(RunFolder folder, RunConfig config, IDevice device, ImageSet set, Action<string> tell, ICommunicator? ranks)
    {
        (this.folder, this.config, this.device, this.set, this.tell, this.ranks) = (folder, config, device, set, tell, ranks);
        Network = config.NetworkFor(set.Size);
        log = new RunLog(folder.Log);
        images = set.Fingerprint;
        settings = RunIdentity.Of(config with { ImageSize = Network.ImageSize });
        trainer = Compile(config.Guard);
    }

    /// <summary>Architecture of the network that is trained.</summary>
    public UNetConfig Network { get; }

    /// <summary>Steps done.</summary>
    public long Step => trainer.Step;

    /// <summary>Bytes that the compiled step takes.</summary>
    public long MemoryBytes => trainer.MemoryBytes;

    /// <summary>Begins a run: settings and the checkpoint of step 0 are then in its folder.</summary>
    /// <param name="folder">An empty folder; the caller disposes it after the run.</param>
    /// <param name="config">The settings.</param>
    /// <param name="device">Device to train on.</param>
    /// <param name="set">The images; the caller disposes them after the run.</param>
    /// <param name="init">Weights to begin with; random ones where null.</param>
    /// <param name="commandLine">For the record.</param>
    /// <param name="tell">Told what people should know, line by line, from any thread.</param>
    /// <param name="ranks">The processes that train together, of which this is the first (<see cref="TrainingRanks"/>); null where it is
    /// alone.</param>
    /// <exception cref="CheckpointException">There is no such network, or the weights are another's.</exception>
    /// <exception cref="TrainingException">The first checkpoint cannot be written.</exception>
    public static TrainingRun Begin(RunFolder folder, RunConfig config, IDevice device, ImageSet set, TensorFile? init, string commandLine,
        Action<string> tell, ICommunicator? ranks = null)
    {
        UNetConfig network = config.NetworkFor(set.Size);
        if (init is not null) ArchitectureInference.Require(init, network);
        return Ready(new TrainingRun(folder, config, device, set, tell, ranks), run =>
        {
            RunConfigFile.Write(folder.Config, config with { ImageSize = network.ImageSize });
            RunEnvironment.Append(folder.Environment, device, 0, commandLine);
            run.Start(init);
        });
    }

    /// <summary>Goes on with a run from its newest checkpoint that is whole.</summary>
    /// <param name="folder">Its folder; the caller disposes it after the run.</param>
    /// <param name="config">Its settings.</param>
    /// <param name="device">Device to train on.</param>
    /// <param name="set">The images; the caller disposes them after the run.</param>
    /// <param name="openInit">Opens the weights that it began with, for a run that was ended before its first checkpoint.</param>
    /// <param name="commandLine">For the record.</param>
    /// <param name="tell">Told what people should know, line by line, from any thread.</param>
    /// <param name="ranks">The processes that train together, of which this is the first; null where it is alone.</param>
    /// <param name="moved">Whether the images are said to be the same in another place: others are then an error.</param>
    /// <exception cref="TrainingException">There are checkpoints, but none is whole, or the newest is of other images or another
    /// run's.</exception>
    public static TrainingRun Resume(RunFolder folder, RunConfig config, IDevice device, ImageSet set, Func<TensorFile?> openInit,
        string commandLine,
        Action<string> tell, ICommunicator? ranks = null, bool moved = false) =>
        Ready(new TrainingRun(folder, config, device, set, tell, ranks), run =>
        {
            run.RestoreNewest(openInit, moved);
            run.log.Truncate(run.Step);
            RunEnvironment.Append(folder.Environment, device, run.Step, commandLine);
            RunConfigFile.Write(folder.Config, config);
        });

    /// <summary>Trains to the end, or until asked to stop: then the step at hand is finished and saved.</summary>
    /// <param name="progress">Called after each step.</param>
    /// <param name="stop">Asks to stop.</param>
    /// <exception cref="TrainingException">The loss is not finite, an image cannot be read in a strict run, or the disk is
    /// full.</exception>
    public RunResult Run(Action<RunProgress>? progress = null, CancellationToken stop = default)
    {
        stopped = stop;
        var watch = Stopwatch.StartNew();
        using ImageLoader loader = Load(trainer.Step);
        float[] batch = new float[loader.Length];
        (double lineStart, double lineWaited) = (0, 0);
        StepResult? last = null;
        if (ranks is not null) TrainingRanks.Meet(ranks, trainer, set);
        DrawIfDue();
        while (true)
        {
            double start = watch.Elapsed.TotalSeconds;
            bool goes = trainer.Step < config.Training.Steps && !stop.IsCancellationRequested && Next(loader, batch);
            if (!TrainingRanks.GoesOn(ranks, goes)) break;
            StepResult step = Do(batch);
            last = step;
            window = window.With(step);
            bool logs = step.Step % config.LogEvery == 0 || step.Step == config.Training.Steps;
            if (logs)
            {
                double now = watch.Elapsed.TotalSeconds;
                Keep(folder.Log, () => log.Append(
                    step, window, now - lineStart, window.Steps * ImagesOfStep, loader.WaitedSeconds - lineWaited, loader.Skipped));
                (lineStart, lineWaited, window) = (now, loader.WaitedSeconds, default);
            }
            progress?.Invoke(new RunProgress(step, config.Training.Steps, watch.Elapsed.TotalSeconds - start, ImagesOfStep, logs));
            if (step.Step % config.SaveEvery == 0) Save();
            DrawIfDue();
        }
        Save();
        return new RunResult(trainer.Step, last, watch.Elapsed.TotalSeconds, loader.Skipped, trainer.Step >= config.Training.Steps);
    }

    /// <inheritdoc/>
    public void Dispose() => trainer.Dispose();

    private static TrainingRun Ready(TrainingRun run, Action<TrainingRun> prepare)
    {
        try
        {
            prepare(run);
            return run;
        }
        catch
        {
            run.Dispose();
            throw;
        }
    }

    private Trainer Compile(bool guard) => new(device, Network, config.Diffusion(), TrainingRanks.OptionsOf(config, ranks),
        new CompileOptions { Guard = guard, Recompute = config.Recompute });

    private ImageLoader Load(long step) => TrainingRanks.LoaderOf(config, set, ranks, step, tell);

    private void Start(TensorFile? init)
    {
        trainer.Start(init ?? RandomWeights.Of(DecompTensors.Of(Network), config.Training.Seed));
        window = default;
        Save();
    }

    private void RestoreNewest(Func<TensorFile?> openInit, bool moved)
    {
        long[] steps = [.. folder.Steps().Reverse()];
        foreach (long step in steps)
        {
            try
            {
                var found = RunCheckpoint.Read(folder.Checkpoint(step), trainer, settings);
                if (found.Step != step) throw new FileFormatException($"{folder.Checkpoint(step)} holds step {found.Step}");
                (window, saved) = (found.Window, found.Step);
                if (found.Settings is null)
                    tell($"{folder.Checkpoint(step)} does not say whose it is, as an earlier version wrote it: it is taken for this run's");
                if (found.Images != images && moved)
                {
                    throw new TrainingException(
                        $"expected the run's images in {set.Name}, found others: names, lengths, order, crop or contents differ");
                }

                if (found.Images != images)
                    tell($"the images of {set.Name} are not those that the run began with: it goes on, but not as it would have");
                // Whoever ended the run may have done so between the checkpoint and the model of it.
                WriteModel();
                return;
            }
            catch (Exception e) when (e is FileFormatException or IOException or UnauthorizedAccessException)
            {
                tell($"{e.Message}: the checkpoint before it is used");
            }
        }
        if (steps.Length > 0)
        {
            throw new TrainingException($"expected a checkpoint that is whole in {folder.FullPath}, found {steps.Length} that are not: "
                + "begin the run anew in another folder");
        }
        using TensorFile? init = openInit();
        Start(init);
    }

    private bool Next(ImageLoader loader, float[] batch)
    {
        try
        {
            loader.Next(batch, stopped);
            return true;
        }
        catch (OperationCanceledException) when (stopped.IsCancellationRequested)
        {
            return false;
        }
        catch (FileFormatException e)
        {
            Save();
            throw new TrainingException($"{e.Message}; the run is saved at step {trainer.Step}", e);
        }
    }

    private StepResult Do(float[] batch)
    {
        try
        {
            StepResult step = trainer.Run(batch);
            if (!float.IsFinite(step.Loss) || (!float.IsFinite(step.GradientNorm) && step.LowerScale is null))
                throw Diagnose(step.Step, $"the loss is {step.Loss} and the norm of the gradients {step.GradientNorm}");
            if (step.LowerScale < 1)
            {
                throw new TrainingException($"step {step.Step}: the gradients overflow even where the loss is not scaled up; {LastGood}, "
                    + "or train in another precision");
            }

            if (step.LowerScale is { } scale)
                tell($"step {step.Step}: gradients overflow and the step is skipped; the loss is scaled by {scale} from now on");
            return step;
        }
        catch (NonFiniteException e)
        {
            throw new TrainingException($"step {trainer.Step + 1}: {e.Message}; {LastGood}", e);
        }
    }

    private int ImagesOfStep => config.Training.BatchSize * (ranks?.Size ?? 1);

    private string LastGood =>
        $"the checkpoint of step {saved} is the last good one: go on from it with a smaller learning rate, or clip the norm of the "
        + "gradients";

    // Steps are the same when they are done again, so that the operator is found that a run without a guard did not look at.
    private TrainingException Diagnose(long failed, string what)
    {
        if (ranks is not null)
            return new TrainingException($"step {failed}: {what}; a guarded run finds out where it comes from; {LastGood}");
        tell($"step {failed}: {what}; steps {saved + 1} to {failed} are done again to find out where it comes from");
        trainer.Dispose();
        trainer = Compile(guard: true);
        try
        {
            RunCheckpoint.Read(folder.Checkpoint(saved), trainer, settings);
            using ImageLoader loader = Load(saved);
            float[] batch = new float[loader.Length];
            while (trainer.Step < failed)
            {
                loader.Next(batch, stopped);
                trainer.Run(batch, stopped);
            }
            return new TrainingException($"step {failed}: {what}, but not when it was done again: the device may be faulty; {LastGood}");
        }
        catch (NonFiniteException e)
        {
            return new TrainingException($"step {trainer.Step + 1}: {e.Message}; {LastGood}", e);
        }
        catch (OperationCanceledException) when (stopped.IsCancellationRequested)
        {
            return new TrainingException($"step {failed}: {what}; {LastGood}");
        }
    }

    // A checkpoint, then the model as of it.
    private void Save()
    {
        if (saved == trainer.Step) return;
        string path = folder.Checkpoint(trainer.Step);
        try
        {
            Keep(path, () => new RunCheckpoint(trainer.Step, window, images, settings).Write(path, trainer, Metadata()));
        }
        catch (NonFiniteStateException e)
        {
            throw Diagnose(trainer.Step, e.Message);
        }
        saved = trainer.Step;
        WriteModel();
        folder.Prune(saved, config.Keep);
    }

    // What the tensors do not tell.
    private Dictionary<string, string> Metadata()
    {
        Dictionary<string, string> metadata = ModelMetadata.Of(Network);
        metadata[ModelMetadata.Trained] = "true";
        metadata[ModelMetadata.Schedule] = config.Schedule;
        metadata[ModelMetadata.DiffusionSteps] = config.DiffusionSteps.ToString(CultureInfo.InvariantCulture);
        metadata[ModelMetadata.Predict] = config.Training.Predicts.Name();
        return metadata;
    }

    private void WriteModel() => Keep(folder.Model, () => SafeTensors.Write(folder.Model, trainer.Tensors(average: true), Metadata()));

    private void DrawIfDue()
    {
        if (config.SampleEvery == 0 || trainer.Step == 0 || trainer.Step % config.SampleEvery != 0
            || File.Exists(folder.Sample(trainer.Step)))
        {
            return;
        }
        try
        {
            Image sheet = SampleSheet.Draw(device, Network, config, new TensorFile(trainer.Tensors(average: true)), set, stopped);
            Keep(folder.Sample(trainer.Step), () => ImageFile.WritePng(folder.Sample(trainer.Step), sheet));
        }
        catch (OperationCanceledException) when (stopped.IsCancellationRequested)
        {
            // It is drawn when the run goes on.
        }
    }

    private void Keep(string path, Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string state = saved < 0 ? "nothing is saved yet" : $"the run is saved at step {saved}";
            throw new TrainingException(
                $"cannot write {path}: {e.Message}; {state}: make room and resume the run {folder.FullPath}", e);
        }
    }
}
