namespace RawDiffusion.Mpi;

/// <summary>What a launcher of parallel jobs says in a process's environment.</summary>
/// <param name="Launcher">Who started the process, for people.</param>
/// <param name="Rank">Number of this process.</param>
/// <param name="Size">Number of processes.</param>
/// <param name="LocalRank">Number of this process among those of its machine.</param>
public sealed record MpiLaunch(string Launcher, int Rank, int Size, int LocalRank)
{
    // Open MPI, then Hydra (MPICH, Intel MPI) and whoever speaks its protocol, then Slurm's own names: more than one may be set.
    private static readonly (string Launcher, string Rank, string Size, string LocalRank)[] Variables =
    [
        ("Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ("MPICH's mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
        ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    ];

    /// <summary>How this process was started; null where it is alone: MPI is then not even loaded.</summary>
    public static MpiLaunch? Of(Func<string, string?> environment)
    {
        foreach ((string launcher, string rank, string size, string localRank) in Variables)
        {
            if (!int.TryParse(environment(rank), out int number) || !int.TryParse(environment(size), out int count) || number < 0
                || number >= count)
            {
                continue;
            }
            // A launcher that does not tell is taken for one that fills machines in turn, and has no more than one.
            int local = int.TryParse(environment(localRank), out int told) && told >= 0 && told <= number ? told : number;
            return count > 1 ? new MpiLaunch(launcher, number, count, local) : null;
        }
        return null;
    }

    /// <summary>As <see cref="Of"/>, from this process's environment.</summary>
    public static MpiLaunch? Current => Of(Environment.GetEnvironmentVariable);
}
