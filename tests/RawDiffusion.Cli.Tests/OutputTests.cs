using System.Diagnostics;
using System.Runtime.InteropServices;
using RawDiffusion.Cli.Output;
using RawDiffusion.Formats;
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
        if (OperatingSystem.IsLinux())
            Rawdiffusion.Run("decompose", "--out", "/proc/rawdiffusion").Failed(1, "cannot write to the folder /proc/rawdiffusion");
        Assert.That(File.ReadAllBytes(file), Is.Empty);
    }

    [Test]
    public void A_full_disk_leaves_no_file()
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("needs Linux, to mount a small file system");
        Directory.CreateDirectory(work.Out);
        using (var mount = Process.Start("mount", ["-t", "tmpfs", "-o", "size=32k", "tmpfs", work.Out]))
        {
            mount.WaitForExit();
            if (mount.ExitCode != 0) Assert.Ignore("needs the right to mount a small file system");
        }
        try
        {
            // The picture fits, the tensors do not.
            Rawdiffusion.Run("decompose", "--steps", "1", "--threads", "1", "--raw", "--out", work.Out)
                .Failed(1, "cannot write", "result.safetensors", "No space left");
            Assert.That(work.Results, Is.Empty);
        }
        finally
        {
            using var unmount = Process.Start("umount", [work.Out]);
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

    [Platform("Linux")]
    [TestCase("symbolic folder")]
    [TestCase("symbolic file")]
    [TestCase("hard link")]
    public void An_input_is_not_overwritten_by_another_of_its_names(string kind)
    {
        string real = Directory.CreateDirectory(work.PathOf("real")).FullName, other = work.PathOf("other");
        string picture = Path.Combine(real, "a.png"), model = Path.Combine(real, "m.pt");
        File.Copy(Goldens.PathOf("images/synth_20x24.png"), picture);
        File.Copy(Goldens.PathOf("A.pt"), model);
        (byte[] pictureBefore, byte[] modelBefore) = (File.ReadAllBytes(picture), File.ReadAllBytes(model));
        if (kind == "symbolic folder") Directory.CreateSymbolicLink(other, real);
        else Directory.CreateDirectory(other);
        foreach (string name in kind == "symbolic folder" ? [] : (string[])["a.png", "m.pt"])
        {
            if (kind == "symbolic file") File.CreateSymbolicLink(Path.Combine(other, name), Path.Combine(real, name));
            else Start("ln", Path.Combine(real, name), Path.Combine(other, name));
        }
        foreach ((string from, string to) in ((string, string)[])[(other, real), (real, other)])
        {
            Rawdiffusion.Run("decompose", "--image", Path.Combine(from, "a.png"), "--out", to).Failed(1, "overwrite an input");
            Rawdiffusion.Run("import", Path.Combine(from, "m.pt"), "--to", Path.Combine(to, "m.pt")).Failed(1, "overwrite an input");
            Rawdiffusion.Run("profile", "--checkpoint", Path.Combine(from, "m.pt"), "--num-heads", "1", "--trace", Path.Combine(to, "m.pt"))
                .Failed(1, "overwrite an input");
            string sheet = Path.Combine(from, "sheet.png");
            File.Move(Path.Combine(from, "a.png"), sheet);
            if (kind == "hard link") File.Move(Path.Combine(to, "a.png"), Path.Combine(to, "sheet.png"));
            if (kind != "symbolic file") Rawdiffusion.Run("evaluate", "--data", sheet, "--out", to).Failed(1, "overwrite an input");
            if (kind != "symbolic file") Rawdiffusion.Run("dataset", "show", sheet, "--out", to).Failed(1, "overwrite an input");
            File.Move(sheet, Path.Combine(from, "a.png"));
            if (kind == "hard link") File.Move(Path.Combine(to, "sheet.png"), Path.Combine(to, "a.png"));
        }
        Assert.That(File.ReadAllBytes(picture), Is.EqualTo(pictureBefore));
        Assert.That(File.ReadAllBytes(model), Is.EqualTo(modelBefore));
    }

    [Test]
    public void A_set_is_not_packed_over_itself()
    {
        string pack = work.PathOf("a.pack");
        Rawdiffusion.Run("dataset", "pack", Path.GetDirectoryName(Goldens.PathOf("images/synth_20x24.png"))!, "--size", "8", "--to",
            pack).Succeeded();
        File.CreateSymbolicLink(work.PathOf("b.pack"), pack);
        Rawdiffusion.Run("dataset", "pack", work.PathOf("b.pack"), "--to", pack).Failed(1, "overwrite an input");
    }

    [Platform("Linux")]
    [Test]
    public void What_is_no_regular_file_is_not_replaced()
    {
        string pipe = work.PathOf("trace.json");
        Start("mkfifo", pipe);
        Rawdiffusion.Run("profile", "--checkpoint", Goldens.PathOf("A.pt"), "--num-heads", "1", "--trace", pipe)
            .Failed(1, "found a pipe of that name");
    }

    // 255 bytes are the limit of names; of these characters each takes two.
    [TestCase(252, "a", false)]
    [TestCase(251, "a", true)]
    [TestCase(126, "\u00e4", false)]
    [TestCase(125, "\u00e4", true)]
    [Platform("Linux")]
    public void A_name_that_is_too_long_is_found_before_the_work(int length, string character, bool fits)
    {
        string name = string.Concat(Enumerable.Repeat(character, length));
        // The picture's own name is shorter than that of its row.
        string picture = work.PathOf(name);
        File.Copy(DefaultFiles.Image(), picture);
        Outcome outcome = Rawdiffusion.Run("decompose", "--image", picture, "--steps", "1", "--threads", "1", "--out", work.Out);
        if (fits)
        {
            outcome.Succeeded();
            Assert.That(work.Results, Is.EqualTo(new[] { $"{name}.png" }));
            return;
        }
        outcome.Failed(1, "cannot write the result", "too long");
        Assert.That(outcome.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries), Has.Length.EqualTo(1));
        Assert.That(Directory.Exists(work.Out), Is.False);
    }

    [Test]
    public void A_long_name_can_be_replaced_whole()
    {
        string path = work.PathOf(new string('t', 250) + ".json");
        AtomicFile.Write(path, stream => stream.WriteByte(1));
        Assert.That(File.ReadAllBytes(path), Is.EqualTo(new byte[] { 1 }));
        Assert.That(Directory.GetFiles(work.Folder), Has.Length.EqualTo(1));
    }

    [Test]
    public void Images_and_masks_do_not_replace_each_other()
    {
        Directory.CreateDirectory(Path.Combine(work.Out, "images"));
        Directory.CreateSymbolicLink(Path.Combine(work.Out, "masks"), Path.Combine(work.Out, "images"));
        Rawdiffusion.Run("dataset", "make", "tetris", "--count", "1", "--out", work.Out).Failed(1, "are one");
    }

    [Test]
    public void A_run_is_not_begun_among_its_images()
    {
        string data = Directory.CreateDirectory(work.PathOf("data")).FullName;
        File.Copy(Goldens.PathOf("images/synth_20x24.png"), Path.Combine(data, "a.png"));
        Directory.CreateSymbolicLink(work.PathOf("link"), data);
        Rawdiffusion.Run("train", "--data", data, "--preset", "tetris", "--out", work.PathOf("link/runs/a"))
            .Failed(1, "outside the images' folder");
        Assert.That(Directory.GetFileSystemEntries(data), Has.Length.EqualTo(1));
    }

    [Test]
    public void No_name_is_given_twice()
    {
        IReadOnlyList<RowFiles> rows = RowFiles.For(["a", "A", "a_input", "a-2"], ["input"]);
        Assert.That(rows.Select(r => r.Row), Is.EqualTo(new[] { "a.png", "A-2.png", "a_input-2.png", "a-2-2.png" }));
        Assert.That(rows.SelectMany(r => r.All).Distinct(StringComparer.OrdinalIgnoreCase).Count(), Is.EqualTo(8));
    }

    private static void Start(string program, params string[] args)
    {
        using var process = Process.Start(program, args);
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero);
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
