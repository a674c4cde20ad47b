using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using RawDiffusion.Cli.Options;
using RawDiffusion.Cli.Output;
using RawDiffusion.Cli.Suites;
using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Checks;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Every kernel against its definition; on the emulator also races, bounds, traffic; and what it needs of a GPU.</summary>
internal sealed class Check(Terminal terminal)
{
    private const string WhyNotRun = "a GPU would hold all of it; the emulator runs chosen blocks of it (--device emulated)";

    private static readonly int[] Architectures = [80, 86, 89, 90];

    private readonly Option<string> device = OptionOf.Choice(
        "--device", "Where kernels run; auto: a GPU if there is one", "auto", "cuda", "emulated");
    private readonly Option<string> precision = OptionOf.Choice(
        "--precision", "Which storage and operands to check", "all", "fp32", "tf32", "bf16", "fp16");
    private readonly Option<string?> filter = OptionOf.Text("--operator", "NAME", "Only operators and graphs whose name holds this");
    private readonly Option<bool> fast = OptionOf.Flag(
        "--no-resources", "Leave out registers, spills and occupancy, which need a compilation for each architecture");
    private readonly Option<bool> specialize = OptionOf.Flag(
        "--specialize", "Compile each kernel for the shapes at hand, as runs on a GPU with NVRTC do, instead of one for any shape");
    private readonly Option<int?> threads = OptionOf.Integer(
        "--threads", "Cases at once on the emulator [default: one for each core]", 1, 1024);
    private readonly Option<bool> json = OptionOf.Flag("--json", "Print the result as JSON; progress goes to standard error");

    public static Command Create(Terminal terminal)
    {
        var verb = new Check(terminal);
        var command = new VerbCommand("check",
            "Runs every CUDA kernel against a double-precision reference. On the emulator it also looks for races, accesses out of bounds, "
            + "undefined values and bank conflicts.",
            "rawdiffusion check --device emulated --operator GroupNorm");
        foreach (Option option in (Option[])[verb.device, verb.precision, verb.filter, verb.fast, verb.specialize, verb.threads, verb.json])
            command.Options.Add(option);
        command.SetAction(verb.Run);
        return command;
    }

    private int Run(ParseResult result)
    {
        string where = result.GetValue(device)!;
        bool emulated = where == "emulated" || (where == "auto" && !DeviceOptions.HasGpu());
        string format = result.GetValue(precision)!;
        Precision[] precisions = format == "all" ? Enum.GetValues<Precision>() : [Enum.Parse<Precision>(format, ignoreCase: true)];
        KernelCase[] cases = [.. KernelCases.All.Where(
            c => c.Name.Contains(result.GetValue(filter) ?? "", StringComparison.OrdinalIgnoreCase))];
        if (cases.Length == 0)
        {
            throw new UsageException($"--operator takes a part of a name, found '{result.GetValue(filter)}'; there are: "
                + $"{string.Join(", ", KernelCases.All.Select(c => c.Name).Distinct().Order())}");
        }

        bool canCompile = Nvrtc.Find() is not null;
        if (result.GetValue(specialize) && !canCompile)
            throw new CommandException($"--specialize compiles kernels: {NativeLibraryFile.Nvrtc.Missing}");
        LargeCase[] selected = [
            .. LargeCases.All.Where(c => c.Name.Contains(result.GetValue(filter) ?? "", StringComparison.OrdinalIgnoreCase))];
        (LargeCase[] large, LargeCase[] notRun) = emulated ? (selected, []) : ((LargeCase[])[], selected);
        int count = cases.Length * precisions.Length + large.Length;
        var suite = new KernelSuite(emulated, precisions, result.GetValue(specialize));
        ProgressDisplay.Run(terminal, "checking", cases.Length + large.Length, done =>
        {
            suite.Run(cases, large, result.GetValue(threads) ?? Environment.ProcessorCount, done, terminal.Cancellation);
            return 0;
        });
        if (!result.GetValue(fast) && !canCompile)
        {
            terminal.Warn("registers, spills and occupancy are left out, for they are read of machine code: "
                + $"{NativeLibraryFile.Nvrtc.Missing}");
        }
        else if (!result.GetValue(fast))
        {
            ProgressDisplay.Run(terminal, "reading machine code", suite.Reports.Count(), done =>
            {
                suite.ReadResources(Architectures, done, terminal.Cancellation);
                return 0;
            });
        }
        string[] faults = [.. suite.Findings, .. suite.Reports.SelectMany(r => r.Faults().Select(f => $"{r.Variant}: {f}"))];
        if (result.GetValue(json)) WriteJson(suite, faults, count, notRun);
        else WriteText(suite, faults, count, notRun);
        return faults.Length == 0 ? ExitCode.Success : ExitCode.Failure;
    }

    private void WriteText(KernelSuite suite, string[] faults, int count, LargeCase[] notRun)
    {
        string[] resources = [.. Architectures.Select(a => $"sm_{a}")];
        TextTable.Write(terminal.Out, ["kernel", "cases", "error", "conflicts", "sectors", .. resources, "HMMA", "variant"], 1,
            [.. suite.Reports.Select(Row)], textAtEnd: true);
        terminal.Out.WriteLine();
        terminal.Out.WriteLine("error: part of what is allowed; conflicts: wavefronts of the worst access to shared memory, and sectors: "
            + "of global memory, as multiples");
        terminal.Out.WriteLine("of the least; sm_NN: registers, + bytes spilled, @ share of the most warps that a multiprocessor holds");
        terminal.Out.WriteLine();
        foreach (string fault in faults) terminal.Out.WriteLine(fault);
        foreach (LargeCase large in notRun) terminal.Out.WriteLine($"not run: {large}: {WhyNotRun}");
        terminal.Out.WriteLine($"{count} cases, {suite.Reports.Count()} kernels on {suite.Description}: "
            + $"{(faults.Length == 0 ? "nothing found" : $"{faults.Length} faults")}");
    }

    private static string[] Row(VariantReport r)
    {
        string[] resources = [.. Architectures.Select(a => Text(r.Resources.FirstOrDefault(x => x.ComputeCapability == a)))];
        string hmma = r.Resources.Count == 0 ? "-" : r.Resources[0].Kernel.Count("HMMA").ToString(CultureInfo.InvariantCulture);
        // Extents that are arguments say nothing.
        string defines = string.Join(
            " ", r.Variant.Defines.Where(d => !d.Value.EndsWith("_arg", StringComparison.Ordinal)).Select(d => $"{d.Name}={d.Value}"));
        return [r.Variant.Kernel, r.Cases.ToString(CultureInfo.InvariantCulture), Number(r.Error), Number(r.Conflicts), Number(r.Sectors),
            .. resources, hmma, defines];
    }

    private static string Text(VariantResources? found)
    {
        if (found is null) return "-";
        string spilled = found.Kernel.UsesLocalMemory ? $"+{found.Kernel.FrameBytes}" : "";
        return string.Create(CultureInfo.InvariantCulture, $"{found.Kernel.Registers}{spilled}@{100 * found.Occupancy.Fraction:0}%");
    }

    private static string Number(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);

    private void WriteJson(KernelSuite suite, string[] faults, int count, LargeCase[] notRun) => JsonReport.Write(terminal.Out, writer =>
    {
        writer.WriteString("device", suite.Description);
        writer.WriteNumber("cases", count);
        writer.WriteStartArray("faults");
        foreach (string fault in faults) writer.WriteStringValue(fault);
        writer.WriteEndArray();
        writer.WriteStartArray("not_run");
        foreach (LargeCase large in notRun)
        {
            writer.WriteStartObject();
            writer.WriteString("case", large.ToString());
            writer.WriteString("reason", WhyNotRun);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartArray("kernels");
        foreach (VariantReport r in suite.Reports) Write(writer, r);
        writer.WriteEndArray();
    });

    private static void Write(Utf8JsonWriter writer, VariantReport r)
    {
        writer.WriteStartObject();
        writer.WriteString("kernel", r.Variant.Kernel);
        writer.WriteString("variant", r.Variant.ToString());
        writer.WriteNumber("cases", r.Cases);
        writer.WriteNumber("error_of_tolerance", double.IsFinite(r.Error) ? r.Error : double.MaxValue);
        writer.WriteNumber("shared_conflicts", r.Conflicts);
        writer.WriteNumber("global_sectors", r.Sectors);
        writer.WriteNumber("matrix_instructions", r.MatrixInstructions);
        writer.WriteStartArray("resources");
        foreach (VariantResources found in r.Resources.OrderBy(x => x.ComputeCapability))
        {
            writer.WriteStartObject();
            writer.WriteNumber("compute_capability", found.ComputeCapability);
            writer.WriteNumber("registers", found.Kernel.Registers);
            writer.WriteNumber("frame_bytes", found.Kernel.FrameBytes);
            writer.WriteNumber("static_shared_bytes", found.Kernel.StaticSharedBytes);
            writer.WriteNumber("dynamic_shared_bytes", r.Geometry.SharedBytes);
            writer.WriteNumber("occupancy", found.Occupancy.Fraction);
            writer.WriteNumber("hmma", found.Kernel.Count("HMMA"));
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}
