using System.Runtime.InteropServices;

namespace RawDiffusion.Mpi;

// The functions of MPI that are used, all of MPI 3.0; each returns MPI_SUCCESS, 0, or an error. Handles that are 32 bits wide in
// the library are passed in the lower half of a register; a request is written to the lower half of a zero.
internal static unsafe partial class MpiApi
{
    /// <summary>MPI_THREAD_FUNNELED: one thread, the one that initialised MPI, calls it.</summary>
    public const int ThreadFunneled = 1;

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Init_thread(nint argc, nint argv, int required, int* provided);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Comm_rank(nint communicator, int* rank);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Comm_size(nint communicator, int* size);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Iallreduce(nint source, nint destination, int count, nint type, nint operation, nint communicator,
        nint* request);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Iallgather(
        nint source, int count, nint type, nint destination, int each, nint received, nint communicator, nint* request);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Ibcast(nint data, int count, nint type, int root, nint communicator, nint* request);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Send(nint source, int count, nint type, int to, int tag, nint communicator);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Recv(nint destination, int count, nint type, int from, int tag, nint communicator, nint status);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Iprobe(int from, int tag, nint communicator, int* found, nint status);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Test(nint* request, int* done, nint status);

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Finalize();

    [LibraryImport(MpiLibrary.Import)]
    public static partial int MPI_Abort(nint communicator, int exitCode);
}
