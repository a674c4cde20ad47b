namespace RawDiffusion.Engine.Tests;

public sealed class HostMemoryTests
{
    [Test]
    public unsafe void An_error_says_how_much_was_asked_for_and_what_for() =>
        Assert.That(Assert.Throws<HostMemoryException>(() => HostMemory.AllocateZeroed(1L << 60, "a test"))!.Message,
        Is.EqualTo("there is no memory of 1073741824.0 GiB for a test"));

    [TestCase("0::/a/b", "a/b/memory.max", "3000\n", 3000)]
    [TestCase("0::/a/b", "a/memory.max", "3000\n", 3000)] // of a group above
    [TestCase("0::/not/here", "memory.max", "3000\n", 3000)] // in a container
    [TestCase("0::/a", "a/memory.max", "max\n", null)]
    [TestCase("4:memory:/a", "memory/a/memory.limit_in_bytes", "3000\n", 3000)]
    [TestCase("4:memory:/a", "memory/a/memory.limit_in_bytes", "9223372036854771712\n", null)]
    [TestCase("4:cpu:/a", "memory/a/memory.limit_in_bytes", "3000\n", null)]
    public void The_limit_of_a_control_group_is_found(string groups, string file, string text, int? expected)
    {
        string mounts = Directory.CreateTempSubdirectory("rawdiffusion-").FullName;
        try
        {
            string path = Path.Combine(mounts, file);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text);
            Assert.That(HostMemory.ControlGroupLimit([groups], mounts), Is.EqualTo((long?)expected));
        }
        finally
        {
            Directory.Delete(mounts, recursive: true);
        }
    }
}
