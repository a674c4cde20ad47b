using System.Globalization;
using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Exchange;

/// <summary>NVIDIA's library of exchanges between GPUs, one for each process.</summary>
public sealed unsafe partial class Nccl : IStreamExchange
{
    // ncclDataType_t, ncclRedOp_t, ncclResult_t
    private const int Float32 = 7, Sum = 0, InvalidUsage = 5, InProgress = 7;

    private readonly Action makeCurrent;
    private nint communicator;

    /// <summary>Joins the processes; waits for all of them.</summary>
    /// <param name="ranks">The processes, which tell each other where they meet.</param>
    /// <param name="makeCurrent">Makes this process's GPU the one that calls from this thread mean.</param>
    /// <exception cref="CudaException">The library refused.</exception>
    public Nccl(ICommunicator ranks, Action makeCurrent)
    {
        (Size, this.makeCurrent) = (ranks.Size, makeCurrent);
        UniqueId id = default;
        makeCurrent();
        if (ranks.Rank == 0) Check(ncclGetUniqueId(&id), "ncclGetUniqueId");
        ranks.Broadcast(new Span<byte>(id.Bytes, UniqueId.Size), 0);
        nint joined;
        Check(ncclCommInitRank(&joined, Size, id, ranks.Rank), $"ncclCommInitRank({ranks.Rank} of {Size})");
        communicator = joined;
    }

    /// <inheritdoc/>
    public string Description => $"NCCL {VersionText(Version())}";

    /// <inheritdoc/>
    public int Size { get; }

    /// <summary>The version of the library; null where there is none that starts.</summary>
    public static string? Installed => Version() is not 0 and var version ? VersionText(version) : null;

    /// <summary>NCCL_VERSION_CODE of the library; 0 where there is none.</summary>
    internal static int Version()
    {
        int version;
        return NativeLibraryFile.Nccl.IsFound && ncclGetVersion(&version) == 0 ? version : 0;
    }

    /// <summary><c>2.21.5</c> of 22105, and <c>2.8.4</c> of 2804.</summary>
    internal static string VersionText(int version)
    {
        int unit = version < 10000 ? 1000 : 10000;
        return string.Create(CultureInfo.InvariantCulture, $"{version / unit}.{version % unit / 100}.{version % 100}");
    }

    /// <inheritdoc/>
    public void AllReduce(ulong data, int count, nint stream)
    {
        makeCurrent();
        Check(ncclAllReduce(data, data, (nuint)count, Float32, Sum, communicator, stream), $"ncclAllReduce({count} numbers)");
    }

    /// <inheritdoc/>
    public void AllGather(ulong source, ulong destination, int count, nint stream)
    {
        makeCurrent();
        Check(ncclAllGather(source, destination, (nuint)count, Float32, communicator, stream), $"ncclAllGather({count} numbers)");
    }

    /// <inheritdoc/>
    public void ThrowIfFailed()
    {
        int result;
        Check(ncclCommGetAsyncError(communicator, &result), "ncclCommGetAsyncError");
        if (result != InProgress) Check(result, "what NCCL had queued");
    }

    /// <summary>Leaves. Nobody is waited for: after an error the others may never come, and at a good end all are done.</summary>
    public void Dispose()
    {
        if (communicator == 0) return;
        makeCurrent();
        Check(ncclCommAbort(communicator), "ncclCommAbort");
        communicator = 0;
    }

    private static void Check(int result, string call)
    {
        if (result == 0) return;
        string advice = result == InvalidUsage ? "each process needs a GPU of its own" : "NCCL_DEBUG=WARN makes NCCL say more";
        throw new CudaException(call, Marshal.PtrToStringUTF8((nint)ncclGetErrorString(result)) ?? $"error {result}", advice);
    }
}
