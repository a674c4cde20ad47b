namespace RawDiffusion.Mpi;

/// <summary>What a launcher of parallel jobs says in a process's environment.</summary>
/// <param name="Launcher">Who started the process, for people.</param>
/// <param name="Rank">Number of this process.</param>
/// <param name="Size">Number of processes.</param>
public sealed record MpiLaunch(string Launcher, int Rank, int Size)
{
    // Open MPI, then Hydra (MPICH, Intel MPI) and whoever speaks its protocol, then Slurm's own names: more than one may be set.
    private static readonly (string Launcher, string Rank, string Size)[] Variables =
    [
        ("Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("MPICH's mpirun", "PMI_RANK", "PMI_SIZE"),
        ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ];

    /// <summary>How this process was started; null where it is alone: MPI is then not even loaded.</summary>
    public static MpiLaunch? Of(Func<string, string?> environment)
    {
        foreach ((string launcher, string rank, string size) in Variables)
        {
            if (int.TryParse(environment(rank), out int number) && int.TryParse(environment(size), out int count) && number >= 0 && number < count)
                return count > 1 ? new MpiLaunch(launcher, number, count) : null;
        }
        return null;
    }

    /// <summary>As <see cref="Of"/>, from this process's environment.</summary>
    public static MpiLaunch? Current => Of(Environment.GetEnvironmentVariable);
}
