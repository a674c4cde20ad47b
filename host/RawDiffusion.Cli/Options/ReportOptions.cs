using System.CommandLine;

namespace RawDiffusion.Cli.Options;

/// <summary>Options of every verb: seed, form of the output.</summary>
internal sealed class ReportOptions
{
    private readonly Option<int?> seed = OptionOf.Integer("--seed", "Seed of all random numbers [default: 0]", 0);
    private readonly Option<bool> json = OptionOf.Flag("--json", "Print the result as JSON; progress goes to standard error");

    public void AddTo(Command command)
    {
        command.Options.Add(seed);
        command.Options.Add(json);
    }

    public bool Json(ParseResult result) => result.GetValue(json);

    public uint Seed(ParseResult result) => (uint)(result.GetValue(seed) ?? 0);
}
