using System.Diagnostics;
using System.Net.Sockets;
using RawDiffusion.Formats.Images;
using RawDiffusion.Formats.PyTorch;

namespace RawDiffusion.Formats.Tests;

[Platform("Linux"), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class RegularFileTests : IDisposable
{
    private readonly Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    // This deletes its file too.
    public void Dispose() => socket.Dispose();

    // Opening a pipe waits for a writer: a reader that opens one never comes back, and the test fails by its time.
    [Test]
    public void What_is_no_regular_file_is_refused_at_once(
        [Values("pipe", "socket", "device", "folder")] string kind, [Values] bool throughLink)
    {
        string path = Make(kind);
        if (throughLink)
        {
            string link = Files.Temporary("link");
            File.Delete(link);
            File.CreateSymbolicLink(link, path);
            path = link;
        }
        foreach (Action read in (Action[])[() => ImageFile.Read(path), () => Checkpoint.Open(path), () => SafeTensors.Open(path),
            () => PyTorchCheckpoint.Open(path),
            () => PyTorchArchive.Open(path), () => TarFile.Open(path), () => RegularFile.ReadAllBytes(path, 100),
            () => RegularFile.OpenStream(path)])
        {
            Task<IOException?> done = Task.Run(() => Assert.Throws<IOException>(() => read()));
            Assert.That(done.Wait(TimeSpan.FromSeconds(5)), "it does not wait");
            Assert.That(done.Result!.Message, Does.StartWith($"expected a regular file, found the {kind} {path}"));
        }
    }

    [Test]
    public void A_file_has_one_identity_under_all_its_names()
    {
        string file = Files.Write("file", [1]), other = Files.Write("other", [1]), link = Files.Temporary(
            "link"), folder = Files.Temporary("folder");
        foreach (string old in (string[])[link, folder]) File.Delete(old);
        File.CreateSymbolicLink(link, file);
        Directory.CreateSymbolicLink(folder, Path.GetDirectoryName(file)!);
        string hard = Files.Temporary("hard");
        File.Delete(hard);
        using (var ln = Process.Start("ln", [file, hard])) ln.WaitForExit();
        string identity = FileStatus.Of(file)!.Identity;
        foreach (string name in (string[])[link, hard, Path.Combine(folder, "file"), Path.Combine(folder, "link")])
            Assert.That(FileStatus.Of(name)!.Identity, Is.EqualTo(identity), name);
        Assert.That(FileStatus.Of(other)!.Identity, Is.Not.EqualTo(identity));
        Assert.That(FileStatus.Of(folder)!.Identity, Is.EqualTo(FileStatus.Of(Path.GetDirectoryName(file)!)!.Identity));
    }

    [Test]
    public void Nothing_has_no_status_and_a_name_that_cannot_be_is_an_error()
    {
        string file = Files.Write("file", [1]);
        Assert.That(FileStatus.Of(Files.Temporary("nothing")), Is.Null);
        Assert.That(FileStatus.Of(Path.Combine(file, "below")), Is.Null);
        Assert.That(Assert.Throws<IOException>(() => FileStatus.Of(Files.Temporary(new string('a', 256))))!.Message,
            Does.Contain("File name too long"));
    }

    [Test]
    public void A_file_that_is_too_long_is_not_read()
    {
        string path = Files.Write("long", new byte[101]);
        Assert.That(RegularFile.ReadAllBytes(path, 101), Has.Length.EqualTo(101));
        Assert.That(Assert.Throws<FileFormatException>(() => RegularFile.ReadAllBytes(path, 100))!.Message,
            Does.Contain("at most 100 bytes, found 101"));
    }

    private string Make(string kind)
    {
        string path = Files.Temporary(kind);
        switch (kind)
        {
            case "pipe":
                File.Delete(path);
                using (var mkfifo = Process.Start("mkfifo", [path])) mkfifo.WaitForExit();
                break;
            case "socket":
                // A socket's path has 107 bytes at most.
                path = Path.Combine(Path.GetTempPath(), $"rawdiffusion-{Guid.NewGuid():n}");
                socket.Bind(new UnixDomainSocketEndPoint(path));
                break;
            case "device":
                return "/dev/zero";
            default:
                Directory.CreateDirectory(path);
                break;
        }
        return path;
    }
}
