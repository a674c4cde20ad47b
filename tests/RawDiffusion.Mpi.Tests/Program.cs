using System.Runtime.InteropServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Mpi.Tests;

/// <summary>One process of a job that a test starts: <c>SCENARIO FOLDER [numbers]</c>; what it finds goes to files.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        using var ranks = MpiCommunicator.Join(
            MpiLaunch.Current ?? throw new InvalidOperationException("mpirun starts this"), silence: TimeSpan.FromSeconds(3));
        ranks.Warn = message => Console.Error.WriteLine($"process {ranks.Rank} warns: {message}");
        string folder = args[1];
        File.WriteAllText(Path.Combine(folder, $"pid{ranks.Rank}"), Environment.ProcessId.ToString());
        int[] numbers = [.. args.Skip(2).Select(int.Parse)];
        switch (args[0])
        {
            case "collectives":
                Collectives(ranks, numbers[0], folder);
                break;
            case "train":
                var run = ShortRun.Of(
                    ranks, numbers[0], numbers[1], stepDone: () => File.WriteAllText(Path.Combine(folder, $"stepped{ranks.Rank}"), ""));
                Write(folder, $"state{ranks.Rank}", run.State);
                Write(folder, $"losses{ranks.Rank}", run.Losses);
                break;
            case "time":
                OverlapTiming.Run(ranks, numbers[0], numbers[1]);
                break;
            default:
                return 2;
        }
        return 0;
    }

    // Sums in flight beside each other, a gathering between their start and their end, and a broadcast from the last rank.
    private static unsafe void Collectives(MpiCommunicator ranks, int count, string folder)
    {
        float[] a = Numbers(ranks.Rank, count), b = Numbers(10 + ranks.Rank, count), own = Numbers(
            20 + ranks.Rank, 3), all = new float[3 * ranks.Size];
        fixed (float* pa = a, pb = b, from = own, to = all)
        {
            ranks.StartAllReduce((nint)pa, count);
            ranks.StartAllReduce((nint)pb, count);
            ranks.AllGather((nint)from, (nint)to, own.Length);
            ranks.Wait((nint)pb);
            ranks.Wait((nint)pa);
        }
        float[] told = Numbers(30 + ranks.Rank, 5);
        ranks.Broadcast(MemoryMarshal.AsBytes(told.AsSpan()), ranks.Size - 1);
        Write(folder, $"found{ranks.Rank}", [.. a, .. b, .. all, .. told]);
    }

    public static float[] Numbers(int seed, int count)
    {
        float[] numbers = new float[count];
        Philox.Normal(numbers, 0, 0, (uint)seed, 1);
        return numbers;
    }

    private static void Write(string folder, string name, float[] values) =>
        File.WriteAllBytes(Path.Combine(folder, name), MemoryMarshal.AsBytes(values.AsSpan()).ToArray());
}
