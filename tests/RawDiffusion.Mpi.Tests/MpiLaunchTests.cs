using System.Diagnostics;
using RawDiffusion.Engine;

namespace RawDiffusion.Mpi.Tests;

public sealed class MpiLaunchTests
{
    [TestCase("", null)]
    [TestCase("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2", "Open MPI's mpirun 1 2")]
    [TestCase("PMI_RANK=0 PMI_SIZE=3", "MPICH's mpirun 0 3")]
    [TestCase("SLURM_PROCID=3 SLURM_STEP_NUM_TASKS=4", "srun 3 4")]
    [TestCase("SLURM_PROCID=1 SLURM_STEP_NUM_TASKS=2 PMI_RANK=0 PMI_SIZE=2 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2",
        "Open MPI's mpirun 1 2")]
    // A job of one process, and a batch script of Slurm, which srun did not start.
    [TestCase("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1", null)]
    [TestCase("SLURM_PROCID=0 SLURM_NTASKS=4", null)]
    [TestCase("PMI_RANK=2 PMI_SIZE=2", null)]
    [TestCase("PMI_RANK=-1 PMI_SIZE=2", null)]
    [TestCase("PMI_RANK=x PMI_SIZE=2", null)]
    public void Launchers_are_known_by_their_variables(string variables, string? expected)
    {
        var found = MpiLaunch.Of(name => Environment(variables).GetValueOrDefault(name));
        Assert.That(found is null ? null : $"{found.Launcher} {found.Rank} {found.Size}", Is.EqualTo(expected));
    }

    // One that the launcher does not tell, or cannot be, is the rank.
    [TestCase("OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1", 1)]
    [TestCase("PMI_RANK=3 PMI_SIZE=4 MPI_LOCALRANKID=0", 0)]
    [TestCase("SLURM_PROCID=3 SLURM_STEP_NUM_TASKS=4 SLURM_LOCALID=2", 2)]
    [TestCase("PMI_RANK=3 PMI_SIZE=4", 3)]
    [TestCase("PMI_RANK=3 PMI_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1", 3)]
    [TestCase("PMI_RANK=3 PMI_SIZE=4 MPI_LOCALRANKID=-1", 3)]
    [TestCase("PMI_RANK=3 PMI_SIZE=4 MPI_LOCALRANKID=x", 3)]
    [TestCase("PMI_RANK=1 PMI_SIZE=4 MPI_LOCALRANKID=2", 1)]
    public void Launchers_tell_a_process_its_number_on_its_machine(string variables, int expected) =>
        Assert.That(MpiLaunch.Of(name => Environment(variables).GetValueOrDefault(name))!.LocalRank, Is.EqualTo(expected));

    [Test]
    public void A_library_that_is_missing_says_what_was_tried_and_what_to_do()
    {
        var library = new SystemLibrary("MPI", "install it", ["libmpi-that-nobody-has.so.1", "libmpi-nor-this.so"]);
        Assert.That(library.IsFound, Is.False);
        Assert.That(library.FoundAt, Is.Null);
        Assert.That(library.Missing, Is.EqualTo("MPI was not found (tried libmpi-that-nobody-has.so.1, libmpi-nor-this.so); install it"));
    }

    [Test]
    public void A_library_that_is_there_and_does_not_load_says_why()
    {
        string path = Path.Combine(Path.GetTempPath(), $"rawdiffusion-{Guid.NewGuid():n}.so");
        File.WriteAllText(path, "no library");
        try
        {
            var library = new SystemLibrary("MPI", "install it again", ["libmpi-that-nobody-has.so.1", path]);
            Assert.That(library.IsFound, Is.False);
            Assert.That(library.Missing, Does.StartWith("MPI is there and cannot be used: ").And.EndsWith(
                "; install it again").And.Not.Contain("nobody"));
            if (OperatingSystem.IsLinux()) Assert.That(library.Missing, Does.Contain($"{path}: file too short"));
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Test]
    public void A_library_of_the_launchers_kind_is_tried_first()
    {
        Assert.That(new MpiLibrary(new MpiLaunch("MPICH's mpirun", 0, 2, 0)).Tried[0], Does.Contain("12"));
        Assert.That(new MpiLibrary(new MpiLaunch("Open MPI's mpirun", 0, 2, 0)).Tried[0], Does.Contain("40"));
    }

    /// <summary>Each process would believe that it is alone, and do all the work: the command refuses.</summary>
    [Test]
    public void A_library_of_another_launcher_is_refused()
    {
        if (!MpiLibrary.Current.IsFound) Assert.Ignore(MpiLibrary.Current.Missing);
        var info = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (string arg in (string[])[Path.Combine(AppContext.BaseDirectory, "rawdiffusion.dll"), "doctor", "--device", "cpu"])
            info.ArgumentList.Add(arg);
        (info.Environment["SLURM_PROCID"], info.Environment["SLURM_STEP_NUM_TASKS"]) = ("0", "2");
        JobOutcome outcome = MpiJob.Finish(Process.Start(info)!);
        Assert.That(outcome.ExitCode, Is.EqualTo(1));
        Assert.That(outcome.Error, Does.Contain("expected to be process 0 of 2").And.Contains("found process 0 of 1"));
        Assert.That(outcome.Out, Is.Empty);
    }

    private static Dictionary<string, string> Environment(string variables) =>
        variables.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(v => v.Split('=')).ToDictionary(v => v[0], v => v[1]);
}
