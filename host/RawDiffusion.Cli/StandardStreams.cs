using System.Runtime.InteropServices;

namespace RawDiffusion.Cli;

/// <summary>Whoever read standard output has gone, as <c>head</c> does when it has enough.</summary>
internal sealed class OutputClosedException() : IOException("nobody reads standard output any more");

/// <summary>
/// Standard output and error without System.Console's writers: those prepare a terminal, which writes control sequences to standard
/// output before all that is printed there, and pass over a pipe that nobody reads.
/// </summary>
internal static class StandardStreams
{
    /// <summary>Makes them <see cref="Console.Out"/> and <see cref="Console.Error"/>, for all who write there.</summary>
    public static void Install()
    {
        if (OperatingSystem.IsWindows()) return;
        Console.SetOut(new StreamWriter(new DescriptorStream(1, mustBeRead: true)) { AutoFlush = true });
        // Work does not end because nobody can be told of its progress: a terminal that was closed, a full disk under a log.
        Console.SetError(new StreamWriter(new DescriptorStream(2, mustBeRead: false)) { AutoFlush = true });
    }
}

/// <summary>Writes to a file descriptor, which stays open.</summary>
/// <param name="descriptor">The descriptor.</param>
/// <param name="mustBeRead">Whether it is an error where nothing can be written.</param>
internal sealed unsafe partial class DescriptorStream(int descriptor, bool mustBeRead) : Stream
{
    private const int Interrupted = 4, Again = 11, AgainOfMac = 35, BrokenPipe = 32; // EINTR, EAGAIN, EPIPE

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <exception cref="OutputClosedException">Nobody reads it.</exception>
    /// <exception cref="IOException">It cannot be written to.</exception>
    public override void Write(ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            nint written;
            fixed (byte* start = bytes) written = write(descriptor, start, bytes.Length);
            if (written >= 0)
            {
                bytes = bytes[(int)written..];
                continue;
            }
            int error = Marshal.GetLastPInvokeError();
            if (error is Interrupted or Again or AgainOfMac)
            {
                if (error != Interrupted) Thread.Sleep(1);
                continue;
            }
            if (!mustBeRead) return;
            throw error == BrokenPipe ? new OutputClosedException()
                : new IOException($"cannot write to standard output: {Marshal.GetPInvokeErrorMessage(error)}");
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int descriptor, byte* bytes, nint count);
}
