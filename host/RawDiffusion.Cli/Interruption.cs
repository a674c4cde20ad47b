using System.Runtime.InteropServices;

namespace RawDiffusion.Cli;

/// <summary>
/// Ctrl-C, SIGTERM and SIGHUP as a cancellation token. What registers with the token cleans up before the signal handler goes
/// on, so a process that is busy where no token is looked at (repacking weights, decoding an image) can be ended at once.
/// </summary>
internal sealed class Interruption : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(250);

    private readonly CancellationTokenSource source = new();
    private readonly ManualResetEventSlim finished = new();
    private readonly PosixSignalRegistration[] registrations;
    private readonly bool onTerminal;
    private volatile bool patient;

    public Interruption(bool onTerminal)
    {
        this.onTerminal = onTerminal;
        registrations = [.. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP }.Select(
            signal => PosixSignalRegistration.Create(signal, Handle))];
    }

    public CancellationToken Token => source.Token;

    /// <summary>Whether another process says that the work was interrupted.</summary>
    public bool IsSilent { get; set; }

    /// <summary>From now on the first signal only asks; the second ends the process.</summary>
    public void BePatient() => patient = true;

    public void Dispose()
    {
        finished.Set();
        foreach (PosixSignalRegistration registration in registrations) registration.Dispose();
    }

    private void Handle(PosixSignalContext context)
    {
        context.Cancel = true;
        bool first = !source.IsCancellationRequested;
        source.Cancel();
        // A terminal that is closed and its shell may both say so.
        if (patient && (first || context.Signal == PosixSignal.SIGHUP)) return;
        if (finished.Wait(Patience)) return;
        if (onTerminal) Console.Error.Write("\e[?25h"); // a progress bar hides the cursor
        if (!IsSilent) Console.Error.WriteLine(patient ? "interrupted: the last checkpoint is whole" : CommandLine.InterruptedMessage);
        Environment.Exit(ExitCode.Interrupted);
    }
}
