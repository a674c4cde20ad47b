using RawDiffusion.Mpi;

namespace RawDiffusion.Cli;

internal static class Program
{
    private static int Main(string[] args)
    {
        bool onTerminal = !Console.IsErrorRedirected;
        using var interruption = new Interruption(onTerminal);
        var terminal = new Terminal(Console.Out, Console.Error, onTerminal, interruption.Token) { EndsInGoodOrder = interruption.BePatient };
        return MpiLaunch.Current is { } launch ? SharedJob.Run(launch, args, terminal, interruption) : CommandLine.Run(args, terminal);
    }
}
