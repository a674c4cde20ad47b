using System.CommandLine;

namespace RawDiffusion.Cli.Verbs;

/// <summary>Sets of images to train with and to be measured on.</summary>
internal static class Dataset
{
    public static Command Create(Terminal terminal) => new VerbCommand("dataset",
        "Makes, shows and packs sets of images.",
        "rawdiffusion dataset show tetris --out sheets")
    {
        DatasetMake.Create(terminal),
        DatasetShow.Create(terminal),
        DatasetPack.Create(terminal),
    };
}
