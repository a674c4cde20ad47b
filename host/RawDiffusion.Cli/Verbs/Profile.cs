using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Baselines;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Times of the kernels of a sampling or training step.</summary>
internal sealed class Profile(Terminal terminal)
{
    private const string DefaultSet = "clevr-toy";

    private readonly NetworkOptions networkOptions = new();
    private readonly DeviceOptions deviceOptions = new();
    private readonly Option<string> what = OptionOf.Choice(
        "--what", "A composition step of all factors, a step of decompose, or a training step", "step", "decompose", "train");

    private readonly Option<string?> data = OptionOf.Text(
        "--data", "SET", $"With --what train: images whose loading is measured: {DataOptions.Sources} [default: {DefaultSet}]");

    private readonly Option<string?> trace = OptionOf.Text(
        "--trace", "FILE", "Also write a timeline that chrome://tracing and Perfetto open");

    private readonly Option<bool> compare = OptionOf.Flag(
        "--compare", "With --device cuda: also time cuDNN's convolutions and cuBLAS's products on the same shapes");

    public static Command Create(Terminal terminal)
    {
        var verb = new Profile(terminal);
        var command = new VerbCommand("profile",
            "Times each kernel of a sampling or training step.",
            "rawdiffusion profile --preset clevr");
        verb.networkOptions.AddTo(command);
        command.Options.Add(verb.what);
        command.Options.Add(verb.data);
        command.Options.Add(verb.trace);
        command.Options.Add(verb.compare);
        verb.deviceOptions.AddTo(command);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        bool compares = result.GetValue(compare);
        if (compares) RequireVendor(result);
        uint seed = deviceOptions.Seed(result);
        using IDevice device = deviceOptions.Open(result, terminal);
        using LoadedModel model = networkOptions.Open(result, seed, terminal);
        using OutputFolder? folder = result.GetValue(trace) is { } file ? Reserve(Path.GetFullPath(file), model) : null;
        bool trains = result.GetValue(what) == "train";
        if (!trains && result.GetValue(data) is not null)
            throw new UsageException($"{data.Name} goes with --what train, found --what {result.GetValue(what)}");
        using IStepBench bench = trains
            ? new TrainBench(device, model.Network.Config, networkOptions.Batch(result), seed)
            : new StepBench(device, model.Network, networkOptions.Batch(result), withFactors: result.GetValue(what) == "decompose", seed);
        int repeat = networkOptions.Repeat(result);
        Line[] nodes = ProgressDisplay.Run(terminal, "measuring", 1 + repeat, stepDone => Measure(bench, repeat, stepDone));
        double? whole = device.TimesAreBounds ? null : Spread.Of(Enumerable.Range(0, repeat).Select(_ => Replay(bench))).Median;
        double? waited = bench is TrainBench training ? WaitOf(result, training, model.Network.Config.ImageSize, repeat) : null;
        Comparison[] comparisons = compares ? Compare((CudaDevice)device, bench, nodes, repeat) : [];
        folder?.Add(Path.GetFileName(result.GetValue(trace)!),
            path => ChromeTrace.Write(path, device.Description, nodes.Select(n => new KernelTime(n.Name, n.Kernel, n.Seconds, n.Cost))));
        folder?.Commit();
        Line[] kernels = [.. nodes.GroupBy(n => n.Kernel).Select(Line.Sum).OrderByDescending(k => k.Seconds)];
        if (deviceOptions.Json(result))
        {
            JsonReport.Write(terminal.Out, json =>
            {
                json.WriteString("model", model.Path);
                json.WriteString("device", device.Description);
                json.WriteNumber("seconds", nodes.Sum(n => n.Seconds));
                if (whole is { } step) json.WriteNumber("seconds_of_whole_step", step);
                if (waited is { } wait) json.WriteNumber("seconds_waited_for_images", wait);
                json.WriteBoolean("times_are_bounds", device.TimesAreBounds);
                if (device.Peak is { } peak)
                {
                    json.WriteNumber("peak_flops_per_second", peak.FlopsPerSecond);
                    json.WriteNumber("peak_bytes_per_second", peak.BytesPerSecond);
                }
                Write(json, "nodes", nodes);
                Write(json, "kernels", kernels);
                if (compares) Write(json, comparisons);
            });
            return ExitCode.Success;
        }
        double total = nodes.Sum(n => n.Seconds);
        string times = device.TimesAreBounds ? "lower bounds from counted work, no measurement" : $"medians of {repeat} steps";
        terminal.Out.WriteLine($"{model.Path} on {device.Description}, {times}, in order of execution");
        string[] numbers = [.. (string[])["ms", "share", "GFLOP/s", "GB/s"], .. device.Peak is null ? (string[])[] : ["roofline"]];
        TextTable.Write(terminal.Out, ["node", "kernel", .. numbers], 2,
            [.. nodes.Select(n => (string[])[n.Name, n.Kernel, .. n.Numbers(total, device.Peak)])]);
        terminal.Out.WriteLine();
        TextTable.Write(terminal.Out, ["kernel", "calls", .. numbers], 1,
            [.. kernels.Append(Line.Sum(nodes, "total"))
            .Select(k => (string[])[k.Kernel, k.Calls.ToString(CultureInfo.InvariantCulture), .. k.Numbers(total, device.Peak)])]);
        terminal.Out.WriteLine();
        if (whole is { } seconds)
        {
            terminal.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"a whole step, not timed kernel by kernel: {1e3 * seconds:0.000} ms"));
        }

        if (waited is { } waits)
        {
            terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"waiting for images of {result.GetValue(data) ?? DefaultSet}: {1e3 * waits:0.000} ms a step"));
        }

        if (device.Peak is { } rates)
        {
            terminal.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"roofline: share of the time that {1e-12 * rates.FlopsPerSecond:0.0} TFLOP/s and {1e-9 * rates.BytesPerSecond:0} GB/s "
                + $"would need at least"));
        }
        if (compares) WriteText(comparisons);
        return ExitCode.Success;
    }

    private OutputFolder Reserve(string path, LoadedModel model)
    {
        var folder = new OutputFolder(Path.GetDirectoryName(path)!, terminal.Cancellation);
        folder.Reserve([Path.GetFileName(path)], [model.Path]);
        return folder;
    }

    private void RequireVendor(ParseResult result)
    {
        deviceOptions.RequireGpu(result, compare.Name);
        if (NvidiaBaseline.Missing is { } missing) throw new CommandException($"{compare.Name} times cuDNN and cuBLAS; {missing}");
    }

    private Comparison[] Compare(CudaDevice device, IStepBench bench, Line[] nodes, int repeat)
    {
        IReadOnlyList<NvidiaTime?> vendor = NvidiaBaseline.Measure(device, bench.Executable, repeat, terminal.Cancellation);
        return [.. nodes.Zip(vendor).Where(pair => pair.Second is not null).Select(pair => new Comparison(pair.First, pair.Second!))];
    }

    private void WriteText(Comparison[] comparisons)
    {
        terminal.Out.WriteLine();
        terminal.Out.WriteLine("against NVIDIA's libraries: their time is that of the products alone, ours has all that is fused into "
            + "them; a ratio below 1 says that ours is faster");
        TextTable.Write(terminal.Out, ["node", "ours ms", "theirs ms", "ratio", "their calls"], 1, [.. comparisons.Select(c => c.Cells)],
            textAtEnd: true);
    }

    private double WaitOf(ParseResult result, TrainBench bench, int size, int repeat)
    {
        using ImageSet set = ImageSets.Open(result.GetValue(data) ?? DefaultSet, new ImageSetOptions { Size = size });
        return bench.WaitOf(set, repeat, terminal.Cancellation);
    }

    // On a GPU one launch of the captured graph.
    private double Replay(IStepBench bench)
    {
        bench.Prepare();
        long start = Stopwatch.GetTimestamp();
        bench.Step(terminal.Cancellation);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private Line[] Measure(IStepBench bench, int repeat, Action stepDone)
    {
        var runs = new List<IReadOnlyList<KernelTime>>();
        for (int i = -1; i < repeat; i++)
        {
            bench.Prepare();
            IReadOnlyList<KernelTime> times = bench.Profile(terminal.Cancellation);
            if (i >= 0) runs.Add(times);
            stepDone();
        }
        return [.. runs[0].Select((k, i) => new Line(k.Name, k.Kernel, 1, Spread.Of(runs.Select(r => r[i].Seconds)).Median, k.Cost))];
    }

    private static void Write(Utf8JsonWriter json, string name, IEnumerable<Line> lines)
    {
        json.WriteStartArray(name);
        foreach (Line line in lines)
        {
            json.WriteStartObject();
            if (line.Name.Length > 0) json.WriteString("name", line.Name);
            json.WriteString("kernel", line.Kernel);
            json.WriteNumber("calls", line.Calls);
            json.WriteNumber("seconds", line.Seconds);
            json.WriteNumber("flops", line.Cost.Flops);
            json.WriteNumber("bytes", line.Cost.Bytes);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter json, IEnumerable<Comparison> comparisons)
    {
        json.WriteStartArray("comparisons");
        foreach (Comparison c in comparisons)
        {
            json.WriteStartObject();
            json.WriteString("name", c.Ours.Name);
            json.WriteString("kernel", c.Ours.Kernel);
            json.WriteNumber("seconds", c.Ours.Seconds);
            json.WriteString("vendor_calls", c.Theirs.Calls);
            if (c.Theirs.Seconds is { } seconds) json.WriteNumber("vendor_seconds", seconds);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private sealed record Comparison(Line Ours, NvidiaTime Theirs)
    {
        public string[] Cells =>
        [
            Ours.Name, Text(1e3 * Ours.Seconds), Theirs.Seconds is { } seconds ? Text(1e3 * seconds) : "none",
            Theirs.Seconds is { } theirs ? Text(Ours.Seconds / theirs) : "", Theirs.Calls,
        ];

        private static string Text(double value) => value.ToString("0.000", CultureInfo.InvariantCulture);
    }

    private sealed record Line(string Name, string Kernel, int Calls, double Seconds, Cost Cost)
    {
        public static Line Sum(IGrouping<string, Line> lines) => Sum([.. lines], lines.Key);

        public static Line Sum(IReadOnlyCollection<Line> lines, string kernel) =>
            new("", kernel, lines.Sum(l => l.Calls), lines.Sum(l => l.Seconds), lines.Aggregate(default(Cost), (sum, l) => sum + l.Cost));

        public string[] Numbers(double total, PeakRates? peak) =>
        [
            Text(1e3 * Seconds, "0.000"),
            Text(100 * Seconds / total, "0.0") + "%",
            Text(1e-9 * Cost.Flops / Seconds, "0.0"),
            Text(1e-9 * Cost.Bytes / Seconds, "0.0"),
            .. peak is { } rates ? (string[])[Text(100 * rates.Bound(Cost) / Seconds, "0.0") + "%"] : [],
        ];

        private static string Text(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
    }
}
