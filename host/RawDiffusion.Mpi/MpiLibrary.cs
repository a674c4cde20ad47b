using System.Reflection;
using System.Runtime.InteropServices;
using RawDiffusion.Engine;

namespace RawDiffusion.Mpi;

/// <summary>
/// The system's MPI library. Open MPI and MPICH export the same functions; their handles differ. Open MPI's are addresses of
/// objects that it exports, MPICH's and Intel MPI's are numbers, which both fit a register of an address's width.
/// </summary>
public sealed class MpiLibrary : SystemLibrary
{
    internal const string Import = "mpi";

    private const string OpenMpiWorld = "ompi_mpi_comm_world";

    // What the import's resolver finds: the library of the launcher that started this process.
    private static readonly Lazy<MpiLibrary> LazyCurrent = new(() => new MpiLibrary(MpiLaunch.Current));

    static MpiLibrary() => NativeLibrary.SetDllImportResolver(typeof(MpiLibrary).Assembly, Resolve);

    /// <summary>States the names in the order that suits a launcher: a library knows only its own.</summary>
    internal MpiLibrary(MpiLaunch? launch)
        : base("MPI", "install Open MPI (apt install openmpi-bin) or MPICH, the one whose mpirun starts the processes", Names(launch))
    {
    }

    /// <summary>The library of this process.</summary>
    public static MpiLibrary Current => LazyCurrent.Value;

    /// <summary>Which MPI it is, for people.</summary>
    /// <exception cref="IOException">It was not found.</exception>
    public string Kind => IsOpenMpi ? "Open MPI" : "MPICH or Intel MPI";

    internal bool IsOpenMpi => NativeLibrary.TryGetExport(Found, OpenMpiWorld, out _);

    /// <summary>MPI_COMM_WORLD.</summary>
    internal nint World => HandleOf(OpenMpiWorld, 0x44000000);

    /// <summary>MPI_FLOAT.</summary>
    internal nint Float => HandleOf("ompi_mpi_float", 0x4c00040a);

    /// <summary>MPI_BYTE.</summary>
    internal nint Byte => HandleOf("ompi_mpi_byte", 0x4c00010d);

    /// <summary>MPI_SUM.</summary>
    internal nint Sum => HandleOf("ompi_mpi_op_sum", 0x58000003);

    /// <summary>MPI_IN_PLACE.</summary>
    internal nint InPlace => IsOpenMpi ? 1 : -1;

    /// <summary>MPI_STATUS_IGNORE.</summary>
    internal nint StatusIgnore => IsOpenMpi ? 0 : 1;

    private nint Found => IsFound ? Handle : throw new IOException(Missing);

    private nint HandleOf(string openMpi, int mpich) => IsOpenMpi ? NativeLibrary.GetExport(Handle, openMpi) : mpich;

    private static string[] Names(MpiLaunch? launch)
    {
        string[] openMpi = OperatingSystem.IsMacOS() ? ["libmpi.40.dylib"] : ["libmpi.so.40"];
        string[] mpich = OperatingSystem.IsMacOS() ? ["libmpi.12.dylib"] : ["libmpi.so.12", "libmpich.so.12"];
        return launch is { Launcher: "MPICH's mpirun" } ? [.. mpich, .. openMpi] : [.. openMpi, .. mpich];
    }

    private static nint Resolve(string import, Assembly assembly, DllImportSearchPath? search) => import == Import ? Current.Found : 0;
}
