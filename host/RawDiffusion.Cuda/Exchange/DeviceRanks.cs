using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Exchange;

/// <summary>Chooses how the processes exchange; all of them choose alike.</summary>
internal static class DeviceRanks
{
    /// <summary>Joins the processes by NCCL, or through host memory where that cannot be.</summary>
    /// <param name="driver">This process's GPU, or the emulator.</param>
    /// <param name="ranks">The processes; not owned.</param>
    /// <param name="warn">Told why GPUs do without NCCL.</param>
    /// <exception cref="CudaException">NCCL refused.</exception>
    public static IDeviceRanks Join(ICudaDriver driver, ICommunicator ranks, Action<string>? warn)
    {
        if (driver is not NvidiaDriver gpu) return new StagedRanks(driver, ranks);
        float[][] told = ranks.Gather([BitConverter.Int32BitsToSingle(Nccl.Version()), .. MemoryMarshal.Cast<byte, float>(gpu.Uuid())]);
        if (Obstacle([.. told.Select(
            t => (BitConverter.SingleToInt32Bits(t[0]), Convert.ToHexString(MemoryMarshal.AsBytes(t.AsSpan(1)))))]) is not { } obstacle)
        {
            return new StreamRanks(driver, new Nccl(ranks, gpu.MakeCurrent));
        }

        warn?.Invoke($"sums of gradients go through host memory, which is slower: {obstacle}");
        return new StagedRanks(driver, ranks);
    }

    /// <summary>What keeps processes from using NCCL; null where nothing does.</summary>
    /// <param name="told">Each process's version of NCCL, 0 where it has none, and which GPU it has.</param>
    internal static string? Obstacle(IReadOnlyList<(int Version, string Gpu)> told)
    {
        for (int rank = 0; rank < told.Count; rank++)
        {
            (int version, string gpu) = told[rank];
            if (version == 0) return rank == 0 ? NativeLibraryFile.Nccl.Missing : $"process {rank} did not find NCCL";
            if (version != told[0].Version)
                return $"process 0 has NCCL {Nccl.VersionText(told[0].Version)}, process {rank} {Nccl.VersionText(version)}";
            for (int other = 0; other < rank; other++)
                if (told[other].Gpu == gpu) return $"processes {other} and {rank} have the same GPU";
        }
        return null;
    }
}
