namespace RawDiffusion.Formats.Tests;

/// <summary>Each run starts without files of the one before, and leaves none.</summary>
[SetUpFixture]
public sealed class FilesSetUp
{
    [OneTimeSetUp]
    [OneTimeTearDown]
    public void DeleteTemporaryFiles()
    {
        if (Directory.Exists(Files.TemporaryRoot)) Directory.Delete(Files.TemporaryRoot, recursive: true);
    }
}
