using System.CommandLine;
using RawDiffusion.Cpu;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Options;

/// <summary>Options that every verb has: device, precision, threads, seed, form of the output.</summary>
internal sealed class DeviceOptions
{
    private readonly Option<string> device = OptionOf.Choice("--device", "Where to compute", "auto", "cpu", "cuda", "emulated");
    private readonly Option<string> precision = OptionOf.Choice("--precision", "Storage and operands; the CPU has fp32", "fp32", "tf32", "bf16", "fp16");
    private readonly Option<int?> threads = OptionOf.Integer("--threads", "CPU threads [default: one for each core]", 1, 1024);
    private readonly Option<int?> seed = OptionOf.Integer("--seed", "Seed of all random numbers [default: 0]", 0);
    private readonly Option<bool> json = OptionOf.Flag("--json", "Print the result as JSON; progress goes to standard error");

    public void AddTo(Command command)
    {
        command.Options.Add(device);
        command.Options.Add(precision);
        command.Options.Add(threads);
        command.Options.Add(seed);
        command.Options.Add(json);
    }

    public bool Json(ParseResult result) => result.GetValue(json);

    public uint Seed(ParseResult result) => (uint)(result.GetValue(seed) ?? 0);

    /// <summary>Makes the device: the one place where devices are chosen.</summary>
    /// <exception cref="CommandException">There is no such device here.</exception>
    public IDevice Open(ParseResult result)
    {
        string name = result.GetValue(device)!;
        string format = result.GetValue(precision)!;
        switch (name)
        {
            case "auto" or "cpu":
                if (format != "fp32") throw new UsageException($"the cpu device computes in fp32, found --precision {format}");
                return new CpuDevice(result.GetValue(threads) ?? 0);
            default:
                throw new CommandException($"this version has no {name} device: use --device cpu");
        }
    }
}
