using System.Diagnostics;
using RawDiffusion.Cpu;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Diffusion.Schedules;
using RawDiffusion.Diffusion.Training;
using RawDiffusion.Engine;

namespace RawDiffusion.Mpi.Tests;

/// <summary>
/// What it gains that sums start beside the backward pass: steps of the Tetris model in turn with steps whose sums start when they
/// are waited for. <c>mpirun -n 2 dotnet RawDiffusion.Mpi.Tests.dll time FOLDER batch steps</c> prints medians.
/// </summary>
internal static class OverlapTiming
{
    public static void Run(ICommunicator ranks, int batch, int steps)
    {
        UNetConfig config = Presets.Get("tetris");
        using var device = new CpuDevice(1, ranks: ranks);
        using var late = new CpuDevice(1, ranks: new LateRanks(ranks));
        using Trainer beside = TrainerOn(device), after = TrainerOn(late);
        float[] images = Program.Numbers(ranks.Rank, batch * config.ImageSize * config.ImageSize * config.ImageChannels);
        double[,] seconds = new double[2, steps];
        for (int i = -1; i < steps; i++)
        {
            for (int k = 0; k < 2; k++)
            {
                long start = Stopwatch.GetTimestamp();
                (k == 0 ? beside : after).Run(images);
                if (i >= 0) seconds[k, i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
        }
        if (ranks.Rank > 0) return;
        for (int k = 0; k < 2; k++)
        {
            double[] sorted = [.. Enumerable.Range(0, steps).Select(i => seconds[k, i]).Order()];
            Console.WriteLine($"{(k == 0 ? "beside the backward pass" : "after it")}: median {sorted[steps / 2]:0.0000} s, least "
                + $"{sorted[0]:0.0000} s a step");
        }

        Trainer TrainerOn(IDevice on)
        {
            var trainer = new Trainer(on, config, new GaussianDiffusion(BetaSchedule.SquaredCosine(1000)),
                new TrainingOptions { BatchSize = batch, Rank = ranks.Rank, World = ranks.Size });
            trainer.Start(RandomWeights.Of(DecompTensors.Of(config), 0));
            return trainer;
        }
    }

    private sealed class LateRanks(ICommunicator ranks) : ICommunicator
    {
        private readonly Dictionary<nint, int> counts = [];

        public int Rank => ranks.Rank;

        public int Size => ranks.Size;

        public int LocalRank => ranks.LocalRank;

        public void StartAllReduce(nint data, int count) => counts.Add(data, count);

        public void Wait(nint data)
        {
            counts.Remove(data, out int count);
            ranks.StartAllReduce(data, count);
            ranks.Wait(data);
        }

        public void AllGather(nint source, nint destination, int count) => ranks.AllGather(source, destination, count);

        public void Broadcast(Span<byte> data, int root) => ranks.Broadcast(data, root);

        public void Dispose()
        {
        }
    }
}
