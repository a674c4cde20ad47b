using System.Diagnostics;
using RawDiffusion.Testing;

namespace RawDiffusion.Cli.Tests;

/// <summary>The command between other programs: pipes, terminals, limits.</summary>
[Platform("Linux"), Parallelizable(ParallelScope.All), FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class StandardStreamsTests : IDisposable
{
    private const string Command = "dotnet rawdiffusion.dll";

    private readonly Workspace work = new();

    public void Dispose() => work.Dispose();

    [TestCase("decompose --steps 1 --threads 1 --out {0}")]
    [TestCase("doctor --device cpu")]
    [TestCase("import {1}")]
    public void On_a_terminal_too_nothing_but_json_is_printed(string arguments)
    {
        Outcome terminal = Shell("script --quiet --return --command true /dev/null");
        if (terminal.ExitCode != 0) Assert.Ignore($"there is no pseudo-terminal here: {terminal.Error.Trim()}");
        string typescript = work.PathOf("typescript");
        string command = $"{Command} {string.Format(arguments, work.Out, Goldens.PathOf("A.pt"))} --json 2>/dev/null";
        Outcome outcome = Shell($"TERM=xterm script --quiet --return --command '{command}' {typescript}").Succeeded();
        Assert.That(outcome.Out, Does.StartWith("{").And.EndsWith("}\r\n"));
    }

    [TestCase("doctor")]
    [TestCase("dataset show tetris")]
    [TestCase("train --help")]
    public void When_nobody_reads_it_ends_as_other_tools_do(string arguments)
    {
        Outcome outcome = Shell($"{Command} {arguments} | true; echo ${{PIPESTATUS[0]}}");
        Assert.That(outcome, Is.EqualTo(new Outcome(0, "141\n", "")));
    }

    [Test]
    public void An_error_that_cannot_be_told_is_no_stack_trace()
    {
        Outcome outcome = Shell($"{Command} decompose --image none 2>/dev/full; echo $?");
        Assert.That(outcome, Is.EqualTo(new Outcome(0, "1\n", "")));
        outcome = Shell($"{Command} doctor --device cpu > /dev/full; echo $?");
        Assert.That(outcome, Is.EqualTo(new Outcome(0, "1\n", "error: cannot write to standard output: No space left on device\n")));
    }

    [Test]
    public void The_file_that_standard_input_comes_from_is_not_overwritten()
    {
        string picture = work.PathOf("stdin.png");
        File.Copy(DefaultFiles.Image(), picture);
        Shell($"{Command} decompose --image - --steps 1 --threads 1 --out {work.Folder} < {picture}").Failed(1, "overwrite an input");
        Assert.That(File.ReadAllBytes(picture), Is.EqualTo(File.ReadAllBytes(DefaultFiles.Image())));
    }

    [Test]
    public void A_picture_and_a_model_come_on_standard_input()
    {
        Shell($"{Command} decompose --image - --steps 1 --threads 1 --out {work.Out} < {DefaultFiles.Image()}").Succeeded();
        Assert.That(work.Results, Is.EqualTo(new[] { "stdin.png" }));
        Shell($"cat {DefaultFiles.Model()} | {Command} decompose --checkpoint - --steps 1 --threads 1 --out "
            + $"{work.PathOf("second")}").Succeeded();
        Shell($"{Command} decompose --steps 1 --threads 1 --out {work.PathOf("third")}").Succeeded();
        Assert.That(File.ReadAllBytes(work.PathOf("second/sample.png")), Is.EqualTo(File.ReadAllBytes(work.PathOf("third/sample.png"))));
        Assert.That(File.ReadAllBytes(work.PathOf("out/stdin.png")), Is.EqualTo(File.ReadAllBytes(work.PathOf("third/sample.png"))));
        Outcome import = Shell($"cat {DefaultFiles.Model()} | {Command} import - --to {work.PathOf("m.pt")} --json").Succeeded();
        Assert.That(import.Json.GetProperty("format").GetString(), Is.EqualTo("safetensors"));
        Shell($"{Command} decompose --image - --out {work.Out} < /dev/null").Failed(1, "found nothing");
        Shell($"{Command} train --config - --out {work.Out} < /dev/zero").Failed(1, "at most 1048576 bytes");
    }

    [TestCase("decompose --image {0} --out {1}", "an image")]
    [TestCase("decompose --checkpoint {0} --out {1}", "a checkpoint")]
    [TestCase("decompose --noise {0} --out {1}", "initial noise")]
    [TestCase("train --data tetris --config {0} --out {1}", "settings")]
    [TestCase("import {0}", "a checkpoint")]
    [TestCase("evaluate --data {0} --out {1}", "")]
    public void A_pipe_or_device_is_refused_at_once(string arguments, string what)
    {
        Shell($"mkfifo {work.PathOf("pipe")}").Succeeded();
        foreach ((string path, string kind) in ((string, string)[])[(work.PathOf("pipe"), "pipe"), ("/dev/zero", "device")])
        {
            Task<Outcome> run = Task.Run(() => Rawdiffusion.Run(string.Format(arguments, path, work.Out).Split(' ')));
            Assert.That(run.Wait(TimeSpan.FromSeconds(60)), "it waits");
            if (what.Length > 0) run.Result.Failed(1, $"expected {what}, found the {kind} {path}");
            else Assert.That(run.Result.Error, Does.Contain($"found the {kind} {path}"));
        }
    }

    [Test]
    public void A_limit_of_memory_is_named_with_what_was_asked_for()
    {
        // The runtime's own heap takes addresses in advance.
        Outcome outcome = Shell($"ulimit -v 4000000; DOTNET_GCHeapHardLimit=0x20000000 {Command} bench --preset clevr --batch 200 --repeat "
            + "1 --threads 1");
        outcome.Failed(1, " GiB for the values of a step", "'ulimit -v' gives this process 3.8 GiB");
        Assert.That(outcome.Error, Does.Not.Contain("--preset"));
    }

    [Test]
    public void Name_and_version_are_printed()
    {
        Outcome outcome = Rawdiffusion.Run("--version").Succeeded();
        Assert.That(outcome.Out, Does.Match(@"^rawdiffusion \d+\.\d+\.\d+\S*\n$"));
        Assert.That(outcome.Error, Is.Empty);
    }

    [Test]
    public void Quiet_and_verbose_say_less_and_more()
    {
        string[] command = ["train", "--data", "tetris", "--count", "2", "--preset", "tetris", "--num-channels", "32",
            "--num-head-channels", "32", "--channel-mult", "1", "--batch", "1", "--steps", "1", "--log-every", "1", "--threads", "1"];
        Outcome quiet = Rawdiffusion.Run([.. command, "--out", work.PathOf("quiet"), "--quiet"]).Succeeded();
        Outcome normal = Rawdiffusion.Run([.. command, "--out", work.PathOf("normal")]).Succeeded();
        Outcome verbose = Rawdiffusion.Run([.. command, "--out", work.PathOf("verbose"), "--verbose"]).Succeeded();
        Assert.That(quiet.Error, Is.Empty);
        Assert.That(quiet.Out, Is.Not.Empty);
        Assert.That(normal.Error, Does.Contain("step 1 of 1").And.Not.Contain("computing on"));
        Assert.That(verbose.Error, Does.Contain("step 1 of 1").And.Contains("computing on cpu"));
        Rawdiffusion.Run("decompose", "--image", "none", "--quiet").Failed(1, "none");
        Rawdiffusion.Run("decompose", "--quiet", "--verbose").Failed(2, "either --quiet or --verbose");
        Assert.That(Rawdiffusion.Run("--verbose", "decompose", "--steps", "1", "--threads", "1", "--out", work.Out).Succeeded().Error,
            Does.Contain("shapes.safetensors: safetensors, 2.9 MiB, 300 tensors"));
    }

    [TestCase("HUP")]
    [TestCase("TERM")]
    public void A_signal_ends_a_run_after_its_step_saved(string signal)
    {
        Outcome outcome = Shell($"{Training} & pid=$!; {UntilItTrains}; kill -{signal} $pid; wait $pid");
        Assert.That(outcome.ExitCode, Is.EqualTo(130), outcome.Error);
        Assert.That(outcome.Error, Does.Match(@"interrupted at step \d+ and saved"));
    }

    [Test]
    public void A_run_that_shall_outlive_its_terminal_does()
    {
        Outcome outcome = Shell($"nohup {Training} & pid=$!; {UntilItTrains}; kill -HUP $pid; sleep 2; kill -0 $pid && echo alive; kill "
            + "-TERM $pid; wait $pid");
        Assert.That(outcome.ExitCode, Is.EqualTo(130), outcome.Error);
        Assert.That(outcome.Out, Does.EndWith("alive\n"));
    }

    private string Training => $"{Command} train --data tetris --preset tetris --num-channels 32 --num-head-channels 32 --channel-mult 1 "
        + $"--batch 1 --steps 100000 --log-every 1 --threads 1 --out {work.Out}";

    private string UntilItTrains => $"for i in $(seq 1200); do [ -s {work.Out}/log.jsonl ] && break; sleep 0.1; done";

    // In the folder of the built command.
    private static Outcome Shell(string script)
    {
        var info = new ProcessStartInfo("bash", ["-c", script])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = AppContext.BaseDirectory
        };
        using Process process = Process.Start(info)!;
        process.StandardInput.Close();
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new Outcome(process.ExitCode, output, error.Result);
    }
}
