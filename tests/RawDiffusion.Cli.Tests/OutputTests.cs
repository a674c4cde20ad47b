using System.Diagnostics;
using System.Runtime.InteropServices;
using RawDiffusion.Cli.Output;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

/// <summary>Results are there whole or not at all.</summary>
[Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed partial class OutputTests : IDisposable
{
    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [Test]
    public void A_folder_that_cannot_be_written_to_is_refused_before_the_work()
    {
        string file = work.Write("file", []);
        Rawdiffusion.Run("decompose", "--out", file).Failed(1, "expected a folder", "found a file");
        Rawdiffusion.Run("decompose", "--out", Path.Combine(file, "below")).Failed(1, "cannot write to the folder");
        if (OperatingSystem.IsLinux()) Rawdiffusion.Run("decompose", "--out", "/proc/rawdiffusion").Failed(1, "cannot write to the folder /proc/rawdiffusion");
        Assert.That(File.ReadAllBytes(file), Is.Empty);
    }

    [Test]
    public void A_full_disk_leaves_no_file()
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("needs Linux, to mount a small file system");
        Directory.CreateDirectory(work.Out);
        using (Process mount = Process.Start("mount", ["-t", "tmpfs", "-o", "size=32k", "tmpfs", work.Out]))
        {
            mount.WaitForExit();
            if (mount.ExitCode != 0) Assert.Ignore("needs the right to mount a small file system");
        }
        try
        {
            // The picture fits, the tensors do not.
            Rawdiffusion.Run("decompose", "--steps", "1", "--threads", "1", "--raw", "--out", work.Out).Failed(1, "cannot write", "result.safetensors", "No space left");
            Assert.That(work.Results, Is.Empty);
        }
        finally
        {
            using Process unmount = Process.Start("umount", [work.Out]);
            unmount.WaitForExit();
        }
    }

    [TestCase(2, TestName = "Ctrl-C in the middle leaves nothing")]
    [TestCase(15, TestName = "SIGTERM in the middle leaves nothing")]
    public void A_signal_in_the_middle_leaves_nothing(int signal)
    {
        if (OperatingSystem.IsWindows()) Assert.Ignore("needs signals");
        string folder = work.PathOf("some/deep/folder");
        using Process process = Rawdiffusion.Start("decompose", "--sampler", "ddpm", "--threads", "1", "--raw", "--out", folder);
        var watch = Stopwatch.StartNew();
        while (!Directory.Exists(folder) && watch.Elapsed.TotalSeconds < 20) Thread.Sleep(10);
        Assert.That(Directory.Exists(folder), "the work has begun");
        Thread.Sleep(300);
        watch.Restart();
        Kill(process.Id, signal);
        Assert.That(process.WaitForExit(10_000));
        // Half a second is the aim; a busy machine may take longer.
        Assert.That(watch.Elapsed.TotalSeconds, Is.LessThan(3));
        Assert.That(process.ExitCode, Is.EqualTo(130));
        Assert.That(process.StandardError.ReadToEnd(), Does.EndWith("interrupted: nothing was written\n"));
        Assert.That(Directory.GetFileSystemEntries(work.Folder), Is.Empty);
    }

    [Test]
    public void Cancellation_removes_what_was_made_and_keeps_what_was_there()
    {
        using var cancellation = new CancellationTokenSource();
        Directory.CreateDirectory(work.Out);
        File.WriteAllText(Path.Combine(work.Out, "old.txt"), "old");
        string made = Path.Combine(work.Out, "new", "newer");
        using (var folder = new OutputFolder(made, cancellation.Token))
        using (var existing = new OutputFolder(work.Out, cancellation.Token))
        {
            folder.Add("a.txt", path => File.WriteAllText(path, "a"));
            existing.Add("old.txt", path => File.WriteAllText(path, "new"));
            cancellation.Cancel();
            Assert.That(work.Results, Is.EqualTo(new[] { "old.txt" }));
            Assert.That(Directory.Exists(Path.Combine(work.Out, "new")), Is.False);
            Assert.Throws<OperationCanceledException>(() => existing.Commit());
            Assert.Throws<OperationCanceledException>(() => folder.Add("b.txt", _ => Assert.Fail("it is too late to write")));
        }
        Assert.That(File.ReadAllText(Path.Combine(work.Out, "old.txt")), Is.EqualTo("old"));
    }

    [Test]
    public void Inputs_and_folders_are_not_overwritten()
    {
        string picture = work.PathOf("a.png");
        File.Copy(Goldens.PathOf("images/synth_20x24.png"), picture);
        Rawdiffusion.Run("decompose", "--image", picture, "--out", work.Folder).Failed(1, "overwrite an input");
        Directory.CreateDirectory(Path.Combine(work.Out, "a.png"));
        Rawdiffusion.Run("decompose", "--image", picture, "--out", work.Out).Failed(1, "found a folder of that name");
    }

    [Test]
    public void No_name_is_given_twice()
    {
        IReadOnlyList<RowFiles> rows = RowFiles.For(["a", "A", "a_input", "a-2"], ["input"]);
        Assert.That(rows.Select(r => r.Row), Is.EqualTo(new[] { "a.png", "A-2.png", "a_input-2.png", "a-2-2.png" }));
        Assert.That(rows.SelectMany(r => r.All).Distinct(StringComparer.OrdinalIgnoreCase).Count(), Is.EqualTo(8));
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
