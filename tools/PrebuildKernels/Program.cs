using System.Diagnostics;
using PrebuildKernels;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;

// Makes kernels/prebuilt.txt and kernels/prebuilt.zip again, from the root of the repository (kernels/README.md):
//   dotnet run -c Release --project tools/PrebuildKernels
// The list is made from nothing, so that what nobody asks for any more is gone: what `rawdiffusion check` runs, what sampling with the
// published architectures and the checkpoints in weights/ and tests/goldens/ needs (and with checkpoints that are named as arguments), and
// what the tests ask for, which are run for this. Kernels that the old file or the user's cache holds are not compiled again.
// Where kernels changed and nobody asks for other variants, the list can stay as it is, which takes 2 minutes instead of 30:
//   dotnet run -c Release --project tools/PrebuildKernels -- --recompile
// Says what of the list the zip file lacks or holds from older sources, and exits with 1 if there is anything:
//   dotnet run -c Release --project tools/PrebuildKernels -- --check
const string list = "kernels/prebuilt.txt", file = "kernels/prebuilt.zip";

try
{
    if (!File.Exists("kernels/common.cuh"))
        throw new IOException("expected the folder kernels in the working folder; run this in the root of the repository");
    return args switch
    {
        ["--check"] => Check(),
        ["--recompile"] => Compile(new KernelList(File.ReadLines(list))),
        _ => Compile(Wanted(args)),
    };
}
catch (Exception exception) when (exception is KernelCompileException or IOException or FormatException or InvalidDataException)
{
    Console.Error.WriteLine($"error: {exception.Message}");
    return 1;
}

static KernelList Wanted(string[] checkpoints)
{
    // PTX runs everywhere: the emulator executes it, and a driver compiles it for its GPU. Machine code for four architectures would
    // make the file five times as large.
    var wanted = new KernelList();
    var target = KernelTarget.Parse("compute_80");
    Console.WriteLine($"{CheckKernels.Add(wanted, target)} kernels of check's cases");
    foreach (string name in ModelKernels.Shipped().Concat(checkpoints))
        Console.WriteLine($"{ModelKernels.Add(wanted, name, target)} more for {name}");
    foreach (string suite in TestKernels.Suites) Console.WriteLine($"{TestKernels.Add(wanted, suite, target)} more for {suite}");
    return wanted;
}

static int Compile(KernelList wanted)
{
    Nvrtc nvrtc = Nvrtc.Find() ?? throw new KernelCompileException(NativeLibraryFile.Nvrtc.Missing);
    var clock = Stopwatch.StartNew();
    int total = wanted.Entries.Count();
    string temporary = file + ".tmp";
    using (FileStream stream = File.Create(temporary))
    {
        PrebuiltKernelsWriter.Write(wanted, KernelSources.Embedded, nvrtc, KernelCache.OfUser, Known(), stream, done =>
        {
            if (done % 50 == 0) Console.Error.WriteLine($"{done} of {total} kernels");
        });
    }
    File.Move(temporary, file, overwrite: true);
    File.WriteAllLines(list, ["# Variants in prebuilt.zip: targets, file, kernel, macros. Made by tools/PrebuildKernels.",
        .. wanted.Lines]);
    Console.WriteLine($"{total} kernels compiled by NVRTC {nvrtc.Version} in {clock.Elapsed.TotalSeconds:0} s, "
        + $"{new FileInfo(file).Length} bytes");
    return 0;
}

static int Check()
{
    KernelList wanted = new(File.ReadLines(list));
    var prebuilt = new PrebuiltKernels(() => File.OpenRead(file));
    (KernelVariant Variant, string Target)[] missing = [.. prebuilt.Missing(wanted, KernelSources.Embedded)];
    foreach ((KernelVariant variant, string target) in missing) Console.WriteLine($"stale or missing: {variant} for {target}");
    int surplus = prebuilt.Count - (wanted.Entries.Count() - missing.Length);
    if (surplus > 0) Console.WriteLine($"{surplus} kernels of other sources, or not on the list");
    if (missing.Length == 0 && surplus == 0)
        Console.WriteLine($"all {prebuilt.Count} kernels are up to date (NVRTC {prebuilt.CompilerVersion})");
    return missing.Length == 0 && surplus == 0 ? 0 : 1;
}

static PrebuiltKernels? Known()
{
    try
    {
        return File.Exists(file) ? new(() => File.OpenRead(file)) : null;
    }
    catch (InvalidDataException exception)
    {
        Console.Error.WriteLine($"all kernels are compiled: {exception.Message}");
        return null;
    }
}
