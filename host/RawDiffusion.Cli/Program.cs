using RawDiffusion.Mpi;

namespace RawDiffusion.Cli;

internal static class Program
{
    private static int Main(string[] args)
    {
        StandardStreams.Install();
        bool onTerminal = !Console.IsErrorRedirected;
        using var interruption = new Interruption(onTerminal);
        return MpiLaunch.Current is { } launch
            ? SharedJob.Run(launch, args, interruption)
            : CommandLine.Run(args, new Terminal(Console.Out, Console.Error, onTerminal, interruption.Token)
            {
                EndsInGoodOrder = interruption.BePatient
            });
    }
}
