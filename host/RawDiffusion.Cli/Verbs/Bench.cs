using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Whole-step throughput and memory.</summary>
internal sealed class Bench(Terminal terminal)
{
    private const int WarmUpSteps = 3;

    private readonly NetworkOptions networkOptions = new();
    private readonly DeviceOptions deviceOptions = new();
    private readonly Option<string> what = OptionOf.Choice(
        "--what", "A composition step of all factors, a step of decompose, or a training step", "step", "decompose", "train");
    private readonly Option<bool> recompute = new(
        "--recompute")
    { Description = "With --what train: compute what gradients read again instead of keeping it" };

    public static Command Create(Terminal terminal)
    {
        var verb = new Bench(terminal);
        var command = new VerbCommand("bench",
            "Measures seconds per sampling or training step, arithmetic rate and memory.",
            "rawdiffusion bench --preset clevr --batch 4");
        verb.networkOptions.AddTo(command);
        command.Options.Add(verb.what);
        command.Options.Add(verb.recompute);
        verb.deviceOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        uint seed = deviceOptions.Seed(result);
        (int batch, int repeat) = (networkOptions.Batch(result), networkOptions.Repeat(result));
        using IDevice device = deviceOptions.Open(result, terminal);
        using LoadedModel model = networkOptions.Open(result, seed, terminal);
        long start = Stopwatch.GetTimestamp();
        using IStepBench bench = result.GetValue(what) == "train"
            ? new TrainBench(device, model.Network.Config, batch, seed, result.GetValue(recompute))
            : new StepBench(device, model.Network, batch, withFactors: result.GetValue(what) == "decompose", seed);
        double compileSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        model.WarnNonFinite(terminal);
        double[] seconds = ProgressDisplay.Run(terminal, "measuring", WarmUpSteps + repeat, stepDone => Measure(bench, repeat, stepDone));
        var spread = Spread.Of(seconds);
        double gflops = bench.Cost.Flops / spread.Median * 1e-9;
        long peak = ProcessMemory.Peak();
        if (deviceOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                json.WriteString("model", model.Path);
                json.WriteString("device", device.Description);
                json.WriteString("what", result.GetValue(what));
                json.WriteNumber("batch", batch);
                json.WriteNumber("steps", repeat);
                json.WriteStartObject("seconds_per_step");
                json.WriteNumber("median", spread.Median);
                json.WriteNumber("min", spread.Min);
                json.WriteNumber("lower_quartile", spread.LowerQuartile);
                json.WriteNumber("upper_quartile", spread.UpperQuartile);
                json.WriteNumber("max", spread.Max);
                json.WriteEndObject();
                json.WriteNumber("gflop_per_step", bench.Cost.Flops * 1e-9);
                json.WriteNumber("gflops", gflops);
                json.WriteNumber("compile_seconds", compileSeconds);
                json.WriteNumber("executable_bytes", bench.MemoryBytes);
                json.WriteNumber("peak_memory_bytes", peak);
            });
            return ExitCode.Success;
        }
        string quartiles = string.Create(CultureInfo.InvariantCulture,
            $"min {spread.Min:0.0000}, quartiles {spread.LowerQuartile:0.0000} to {spread.UpperQuartile:0.0000}, max {spread.Max:0.0000}");
        terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
            model             {model.Path}, {result.GetValue(what)}, batch {batch}
            device            {device.Description}
            seconds per step  median {spread.Median:0.0000} of {repeat} ({quartiles})
            rate              {gflops:0.0} GFLOP/s ({bench.Cost.Flops * 1e-9:0.00} GFLOP a step)
            compile           {compileSeconds:0.00} s
            memory            {bench.MemoryBytes / 1048576.0:0.0} MiB executable, {peak / 1048576.0:0.0} MiB peak of the process
            """));
        return ExitCode.Success;
    }

    private double[] Measure(IStepBench bench, int repeat, Action stepDone)
    {
        double[] seconds = new double[repeat];
        for (int i = -WarmUpSteps; i < repeat; i++)
        {
            bench.Prepare();
            long start = Stopwatch.GetTimestamp();
            bench.Step(terminal.Cancellation);
            if (i >= 0) seconds[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            stepDone();
        }
        return seconds;
    }
}
