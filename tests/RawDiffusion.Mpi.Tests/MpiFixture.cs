using System.Diagnostics;

namespace RawDiffusion.Mpi.Tests;

/// <summary>What tests with real processes share: an empty folder for each, and patience.</summary>
public abstract class MpiFixture
{
    protected const string Command = "rawdiffusion.dll";

    /// <summary>Of the test at hand; deleted after it.</summary>
    protected string Folder { get; private set; } = "";

    [SetUp]
    public void SetUp()
    {
        MpiJob.Require();
        Folder = Directory.CreateTempSubdirectory("rawdiffusion-mpi-").FullName;
    }

    [TearDown]
    public void TearDown()
    {
        if (Folder.Length > 0) Directory.Delete(Folder, recursive: true);
    }

    protected static void WaitFor(Func<bool> condition)
    {
        var watch = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromMinutes(4)), "it takes too long");
            Thread.Sleep(20);
        }
    }
}
