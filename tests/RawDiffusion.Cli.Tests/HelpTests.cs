using System.Diagnostics;

namespace RawDiffusion.Cli.Tests;

public sealed class HelpTests
{
    private static readonly string[] Verbs = ["decompose", "recombine", "train", "import", "evaluate", "bench", "profile", "doctor"];

    [TestCaseSource(nameof(Verbs))]
    public void Each_verb_shows_an_example(string verb)
    {
        string help = Rawdiffusion.Run(verb, "--help").Succeeded().Out;
        Assert.That(help, Does.Contain($"Example:{Environment.NewLine}  rawdiffusion {verb}"));
        foreach (string option in new[] { "--device", "--precision", "--seed", "--threads", "--json" })
            Assert.That(help, Does.Contain(option));
    }

    [Test]
    public void Without_a_verb_there_is_help_and_with_a_wrong_one_a_list()
    {
        Outcome none = Rawdiffusion.Run();
        Assert.That((none.ExitCode, none.Error), Is.EqualTo((2, "")));
        foreach (string verb in Verbs) Assert.That(none.Out, Does.Contain($"  {verb}"));
        Rawdiffusion.Run("decompos").Failed(2, "expected a verb (decompose, recombine", "'decompos'");
        Rawdiffusion.Run("--version").Succeeded();
    }

    [Test]
    public void A_process_ends_with_the_exit_code_and_keeps_its_streams_apart()
    {
        Rawdiffusion.RunProcess("decompose", "--steps", "0").Failed(2, "steps from 1 to the 1000");
        var watch = Stopwatch.StartNew();
        Outcome help = Rawdiffusion.RunProcess("--help").Succeeded();
        Assert.That(help.Error, Is.Empty);
        Assert.That(watch.Elapsed.TotalSeconds, Is.LessThan(3), "0.1 s on an idle machine");
    }
}
