using System.CommandLine;
using RawDiffusion.Cpu;
using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator;
using RawDiffusion.Engine;

namespace RawDiffusion.Cli.Options;

/// <summary>Options of the verbs that compute: device, precision, threads, and <see cref="ReportOptions"/>.</summary>
internal sealed class DeviceOptions
{
    private readonly Option<string> device = OptionOf.Choice("--device", "Where to compute", "auto", "cpu", "cuda", "emulated");
    private readonly Option<string> precision = OptionOf.Choice(
        "--precision", "Storage and operands; the cpu device has fp32", "fp32", "tf32", "bf16", "fp16");
    private readonly Option<int?> threads = OptionOf.Integer("--threads", "CPU threads [default: one for each core]", 1, 1024);
    private readonly ReportOptions reportOptions = new();

    public void AddTo(Command command)
    {
        command.Options.Add(device);
        command.Options.Add(precision);
        command.Options.Add(threads);
        reportOptions.AddTo(command);
    }

    public bool Json(ParseResult result) => reportOptions.Json(result);

    public uint Seed(ParseResult result) => reportOptions.Seed(result);

    /// <summary>Refuses every device but a GPU that was asked for.</summary>
    /// <param name="result">The arguments.</param>
    /// <param name="option">What needs the GPU, for the message.</param>
    /// <exception cref="UsageException">Another device was chosen, or none.</exception>
    public void RequireGpu(ParseResult result, string option)
    {
        if (result.GetValue(device) is not "cuda" and var found)
            throw new UsageException($"{option} runs on a GPU, found --device {found}; use --device cuda");
    }

    /// <summary>Makes the device that the options name.</summary>
    /// <param name="result">The arguments.</param>
    /// <param name="terminal">Told of what takes long; of its processes each takes a GPU of its machine in turn.</param>
    /// <exception cref="CommandException">There is no such device here.</exception>
    public IDevice Open(ParseResult result, Terminal terminal) =>
        Open(result.GetValue(device)!, result.GetValue(precision)!, result.GetValue(threads), terminal);

    /// <summary>Makes a device: the one place where devices are chosen.</summary>
    /// <param name="device">A value of --device.</param>
    /// <param name="precision">A value of --precision.</param>
    /// <param name="threads">CPU threads, or null for one for each core.</param>
    /// <param name="terminal">Told of what takes long, and of what makes the device slower than it could be; of its processes each takes a
    /// GPU of its machine in turn.</param>
    /// <param name="together">Whether they run one graph together, as those that train do.</param>
    /// <exception cref="CommandException">There is no such device here.</exception>
    public static IDevice Open(string device, string precision, int? threads, Terminal terminal, bool together = false)
    {
        IDevice made = Make(device, precision, threads, terminal, together);
        terminal.Detail($"computing on {made.Description}");
        return made;
    }

    private static IDevice Make(string device, string precision, int? threads, Terminal terminal, bool together)
    {
        ICommunicator? ranks = terminal.Ranks;
        ICommunicator? exchange = together ? ranks : null;
        Precision format = Enum.Parse<Precision>(precision, ignoreCase: true);
        switch (device)
        {
            case "cuda":
                return OpenGpu();
            case "emulated":
                return new CudaDevice(new EmulatedDriver(new EmulatorOptions { Threads = threads ?? 0 }), new KernelCompiler(), format,
                    ranks: exchange);
            // Those who exchange do so on devices of one kind.
            case "auto" when exchange is null ? HasGpu() : exchange.Gather(HasGpu() ? 1 : 0).All(told => told[0] == 1):
                return OpenGpu();
            default:
                if (format != Precision.Fp32)
                {
                    throw new UsageException($"the cpu device computes in fp32, found --precision {precision}; --device cuda and --device "
                        + "emulated have the others");
                }

                return new CpuDevice(threads ?? 0, ranks: exchange);
        }

        CudaDevice OpenGpu()
        {
            int ordinal = ranks is null ? 0 : ranks.LocalRank % Math.Max(1, NvidiaDriver.Devices().Count);
            return new(NvidiaDriver.Open(ordinal), new KernelCompiler(), format, ranks: exchange, warn: terminal.Warn, tell: terminal.Tell);
        }
    }

    /// <summary>Whether there is a GPU that this can use: an older one is no reason to fail where nobody asked for it.</summary>
    internal static bool HasGpu()
    {
        try
        {
            return NvidiaDriver.Devices() is [{ ComputeCapability: >= 80 }, ..];
        }
        catch (CudaException)
        {
            return false;
        }
    }
}
