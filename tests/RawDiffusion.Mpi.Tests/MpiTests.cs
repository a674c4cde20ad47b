using System.Diagnostics;
using System.Runtime.InteropServices;
using RawDiffusion.Testing;

namespace RawDiffusion.Mpi.Tests;

/// <summary>Real processes under the system's mpirun.</summary>
public sealed class MpiTests : MpiFixture
{
    private const string Worker = "RawDiffusion.Mpi.Tests.dll";

    // 3 processes: sums are no longer of two numbers. A million numbers do not fit one message.
    [TestCase(2, 1)]
    [TestCase(3, 1013)]
    [TestCase(2, 1_000_003)]
    public void Sums_and_copies_are_the_same_bits_in_all_processes(int size, int count)
    {
        MpiJob.Run(MpiJob.Processes(size, Worker, "collectives", Folder, $"{count}")).Succeeded();
        float[][] found = [.. Enumerable.Range(0, size).Select(rank => Read($"found{rank}"))];
        for (int rank = 1; rank < size; rank++) Assert.That(found[rank].AsSpan().SequenceEqual(found[0]), $"rank {rank}");
        int at = 0;
        foreach (int seed in (int[])[0, 10])
        {
            float[][] parts = [.. Enumerable.Range(0, size).Select(rank => Program.Numbers(seed + rank, count))];
            for (int i = 0; i < count; i++, at++) Assert.That(found[0][at], Is.EqualTo(parts.Sum(p => (double)p[i])).Within(1e-6));
        }
        float[] gathered = [.. Enumerable.Range(0, size).SelectMany(rank => Program.Numbers(20 + rank, 3))];
        Assert.That(found[0][at..], Is.EqualTo((float[])[.. gathered, .. Program.Numbers(30 + size - 1, 5)]));
    }

    [Test]
    public void Two_processes_train_as_one()
    {
        MpiJob.Run(MpiJob.Processes(2, Worker, "train", Folder, "2", "3")).Succeeded();
        var one = ShortRun.Of(null, 4, 3);
        float[] state = Read("state0");
        Assert.That(Read("state1").AsSpan().SequenceEqual(state), "both have the same bits");
        Comparer.RequireClose("losses", [.. one.Losses.Select(x => (double)x)], [.. Read("losses0").Select(x => (double)x)],
            Tolerance.Relative(2e-5));
        Comparer.RequireClose("state", [.. one.State.Select(x => (double)x)], [.. state.Select(x => (double)x)],
            new Tolerance(1e-4, 1e-4, 0));
    }

    [Test]
    public void A_killed_process_ends_the_job()
    {
        using Process job = MpiJob.Start(MpiJob.Processes(2, Worker, "train", Folder, "1", "100000"));
        Task<JobOutcome> outcome = Task.Run(() => MpiJob.Finish(job));
        WaitFor(() => File.Exists(Path.Combine(Folder, "stepped1")) || outcome.IsCompleted);
        Assert.That(outcome.IsCompleted, Is.False, () => outcome.Result.Error);
        using (var victim = Process.GetProcessById(int.Parse(File.ReadAllText(Path.Combine(Folder, "pid1"))))) victim.Kill();
        WaitFor(() => outcome.IsCompleted);
        Assert.That(outcome.Result.ExitCode, Is.Not.Zero);
        Assert.That(outcome.Result.Error, Does.Contain("rank 1").IgnoreCase.And.Contains("Killed").IgnoreCase);
    }

    [TestCase(1, 0)]
    [TestCase(0, 1)]
    public void A_stopped_process_is_named_by_those_who_wait_for_it(int stopped, int other)
    {
        using Process job = MpiJob.Start(MpiJob.Processes(2, Worker, "train", Folder, "1", "100000"));
        try
        {
            var lines = new System.Collections.Concurrent.ConcurrentQueue<string>();
            job.ErrorDataReceived += (_, line) => lines.Enqueue(line.Data ?? "");
            job.BeginErrorReadLine();
            WaitFor(() => File.Exists(Path.Combine(Folder, "stepped1")) || job.HasExited);
            Thread.Sleep(5000);
            Assert.That(lines, Has.None.Contains("warns"), "nobody is silent yet");
            string pid = File.ReadAllText(Path.Combine(Folder, $"pid{stopped}"));
            Signal("-STOP", pid);
            WaitFor(() => job.HasExited
                || lines.Any(l => l.Contains($"process {other} warns: process {stopped} of 2 has given no sign of life for 3 s")));
            Signal("-CONT", pid);
            WaitFor(() => job.HasExited || lines.Any(l => l.Contains($"process {stopped} of 2 gives signs of life again")));
            Assert.That(job.HasExited, Is.False, string.Join('\n', lines));
            Assert.That(lines.Count(l => l.Contains("no sign of life")), Is.EqualTo(1), string.Join('\n', lines));
        }
        finally
        {
            Signal("-TERM", $"{job.Id}");
            WaitFor(() => job.HasExited);
        }

        static void Signal(string signal, string process)
        {
            using var kill = Process.Start("kill", [signal, process]);
            kill.WaitForExit();
        }
    }

    [Test]
    public void Images_are_decomposed_by_all_processes_and_told_by_the_first()
    {
        // More processes than images of one part, and parts of different sizes.
        string[] common = ["decompose", "--image", Goldens.PathOf("images/synth_20x24.png"), Goldens.PathOf("images/synth_97x61.png"),
            Goldens.PathOf("images/synth_20x24.png"),
            "--steps", "2", "--threads", "1", "--raw", "--json", "--out"];
        string alone = Path.Combine(Folder, "alone"), together = Path.Combine(Folder, "together");
        JobOutcome one = MpiJob.Run(MpiJob.Processes(1, Command, [.. common, alone])).Succeeded();
        JobOutcome two = MpiJob.Run(MpiJob.Processes(2, Command, [.. common, together])).Succeeded();
        string[] names = [.. Directory.GetFiles(alone).Select(f => Path.GetFileName(f)!).Order(StringComparer.Ordinal)];
        Assert.That(names, Has.Length.EqualTo(4));
        Assert.That(Directory.GetFiles(together).Select(f => Path.GetFileName(f)).Order(StringComparer.Ordinal), Is.EqualTo(names));
        foreach (string name in names)
            Assert.That(File.ReadAllBytes(Path.Combine(together, name)), Is.EqualTo(File.ReadAllBytes(Path.Combine(alone, name))), name);
        Assert.That(two.Out.Split("\"files\""), Has.Length.EqualTo(2), "one report");
        Assert.That(two.Out.Replace(together, alone).Split("\"files\"")[1], Is.EqualTo(one.Out.Split("\"files\"")[1]));
    }

    [Test]
    public void Nothing_but_json_is_printed()
    {
        // mpirun gives processes a terminal of their own.
        Environment.SetEnvironmentVariable("TERM", "xterm");
        JobOutcome outcome = MpiJob.Run(
            MpiJob.Processes(2, Command, "decompose", "--steps", "1", "--threads", "1", "--json", "--out", Folder)).Succeeded();
        Assert.That(outcome.Out, Does.StartWith("{").And.EndsWith("}\n"));
    }

    [Test]
    public void More_processes_than_images()
    {
        MpiJob.Run(MpiJob.Processes(2, Command, "decompose", "--steps", "1", "--threads", "1", "--out", Folder)).Succeeded();
        Assert.That(File.Exists(Path.Combine(Folder, "sample.png")));
    }

    [TestCase("decompose --checkpoint no-such-file.pt", 1, "no-such-file.pt")]
    [TestCase("decompose --steps none", 2, "none")]
    [TestCase("bench --preset none", 2, "none")]
    public void An_error_of_all_is_told_once(string arguments, int exitCode, string part)
    {
        JobOutcome outcome = MpiJob.Run(MpiJob.Processes(2, Command, [.. arguments.Split(' '),
            .. arguments.StartsWith("decompose", StringComparison.Ordinal) ? ["--out", Folder] : Array.Empty<string>()]));
        Assert.That(outcome.ExitCode, Is.EqualTo(exitCode), outcome.Error);
        Assert.That(outcome.Error.Split("error: "), Has.Length.EqualTo(2), outcome.Error);
        Assert.That(outcome.Error, Does.Contain(part));
    }

    [Test]
    public void An_error_of_one_ends_all()
    {
        string[] first = MpiJob.Processes(1, Command, "decompose", "--threads", "1", "--out", Folder);
        string[] second = MpiJob.Processes(1, Command, "decompose", "--threads", "1", "--image", "no-such-file.png", "--out", Folder);
        JobOutcome outcome = MpiJob.Run([.. first, ":", .. second]);
        Assert.That(outcome.ExitCode, Is.Not.Zero);
        Assert.That(outcome.Error, Does.Contain("process 1 of 2: error: ").And.Contains("no-such-file.png"));
        Assert.That(Directory.GetFiles(Folder), Is.Empty);
    }

    [Test]
    public void Doctor_names_the_library_and_the_processes()
    {
        JobOutcome outcome = MpiJob.Run(MpiJob.Processes(2, Command, "doctor", "--device", "cpu")).Succeeded();
        Assert.That(outcome.Out.Split('\n').Where(l => l.StartsWith("MPI", StringComparison.Ordinal)),
            Is.EqualTo(new[] { $"{"MPI",-18}{MpiLibrary.Current.Kind}, {MpiLibrary.Current.FoundAt}; process 0 of 2" }));
    }

    private float[] Read(string name) => MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(Path.Combine(Folder, name))).ToArray();
}
