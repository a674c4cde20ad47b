namespace RawDiffusion.Engine.Tests;

public sealed class SystemLibraryTests
{
    private static readonly string[] OfTheSystem =
        [OperatingSystem.IsWindows() ? "kernel32.dll" : OperatingSystem.IsMacOS() ? "libSystem.dylib" : "libc.so.6"];

    [Test]
    public void A_library_without_a_needed_function_is_passed_over_and_told()
    {
        var library = new SystemLibrary("C", "install a newer one", OfTheSystem, "malloc_of_next_year");
        Assert.That(library.IsFound, Is.False);
        Assert.That(library.FoundAt, Is.Null);
        Assert.That(library.Missing, Does.StartWith("C is there and cannot be used: ").And.Contain(OfTheSystem[0])
            .And.EndsWith(" is too old, it has no malloc_of_next_year; install a newer one"));
    }

    [Test]
    public void A_library_with_all_needed_functions_is_found() =>
        Assert.That(new SystemLibrary("C", "", OfTheSystem, OperatingSystem.IsWindows() ? "GetTickCount64" : "malloc").IsFound, Is.True);
}
