using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Exchange;

// The functions of NCCL that are used; all of 2.4 and newer export them. Each returns an ncclResult_t, 0 on success.
public sealed unsafe partial class Nccl
{
    // ncclUniqueId, which is passed by value.
    internal struct UniqueId
    {
        public const int Size = 128;

        public fixed byte Bytes[Size];
    }

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial byte* ncclGetErrorString(int result);

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial int ncclGetVersion(int* version);

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial int ncclGetUniqueId(UniqueId* id);

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial int ncclCommInitRank(nint* communicator, int ranks, UniqueId id, int rank);

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial int ncclCommAbort(nint communicator);

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial int ncclCommGetAsyncError(nint communicator, int* result);

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial int ncclAllReduce(
        ulong source, ulong destination, nuint count, int type, int operation, nint communicator, nint stream);

    [LibraryImport(NativeLibraryFile.NcclImport)]
    private static partial int ncclAllGather(ulong source, ulong destination, nuint count, int type, nint communicator, nint stream);
}
