using System.Diagnostics;
using PrebuildKernels;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Diffusion.Models;
using RawDiffusion.Formats;

// Compiles the kernels that kernels/prebuilt.txt lists into kernels/prebuilt.zip, all but those that it holds already:
//   dotnet run -c Release --project tools/PrebuildKernels -- kernels
// Says what of the list the zip file lacks or holds from older sources, and exits with 1 if there is anything:
//   dotnet run -c Release --project tools/PrebuildKernels -- kernels --check
// Adds to the list what decomposing with a model needs, a preset's name or a checkpoint:
//   dotnet run -c Release --project tools/PrebuildKernels -- kernels --model clevr
// Adds what `rawdiffusion check` runs:
//   dotnet run -c Release --project tools/PrebuildKernels -- kernels --checks
// Adds what a run recorded (RAWDIFFUSION_KERNEL_LIST=FILE rawdiffusion ...):
//   dotnet run -c Release --project tools/PrebuildKernels -- kernels --add FILE
// PTX runs everywhere: the emulator executes it, and a driver compiles it for its GPU. Machine code for four architectures
// would make the file five times as large.
KernelTarget[] shipped = [KernelTarget.Parse("compute_80")];

try
{
    switch (args)
    {
        case [var kernels]: return Build(kernels);
        case [var kernels, "--check"]: return Check(kernels);
        case [var kernels, "--model", var model]: return AddModel(kernels, model);
        case [var kernels, "--checks"]:
            return Extend(kernels, list =>
            {
                foreach (KernelTarget target in shipped) CheckKernels.Add(list, target);
            });
        case [var kernels, "--add", var recorded]: return Extend(kernels, list => Copy(new(File.ReadLines(recorded)), list));
        default:
            Console.Error.WriteLine("expected: FOLDER, FOLDER --check, FOLDER --model PRESET-OR-CHECKPOINT, FOLDER --checks, or FOLDER --add FILE");
            return 2;
    }
}
catch (Exception exception) when (exception is KernelCompileException or IOException or FormatException or InvalidDataException)
{
    Console.Error.WriteLine($"error: {exception.Message}");
    return 1;
}

int Build(string kernels)
{
    Nvrtc nvrtc = Nvrtc.Find() ?? throw new KernelCompileException(NativeLibraryFile.Nvrtc.Missing);
    KernelList list = ReadList(kernels);
    int total = list.Entries.Count();
    var clock = Stopwatch.StartNew();
    string temporary = ZipPath(kernels) + ".tmp";
    using (FileStream file = File.Create(temporary))
    {
        PrebuiltKernels? known = File.Exists(ZipPath(kernels)) ? new(() => File.OpenRead(ZipPath(kernels))) : null;
        PrebuiltKernelsWriter.Write(list, KernelSources.Embedded, nvrtc, known, file, done =>
        {
            if (done % 50 == 0) Console.Error.WriteLine($"{done} of {total} kernels");
        });
    }
    File.Move(temporary, ZipPath(kernels), overwrite: true);
    Console.WriteLine($"{total} kernels compiled by NVRTC {nvrtc.Version} in {clock.Elapsed.TotalSeconds:0} s, {new FileInfo(ZipPath(kernels)).Length} bytes");
    return 0;
}

int Check(string kernels)
{
    KernelList list = ReadList(kernels);
    var prebuilt = new PrebuiltKernels(() => File.OpenRead(ZipPath(kernels)));
    (KernelVariant Variant, string Target)[] missing = [.. prebuilt.Missing(list, KernelSources.Embedded)];
    foreach ((KernelVariant variant, string target) in missing) Console.WriteLine($"stale or missing: {variant} for {target}");
    int surplus = prebuilt.Count - (list.Entries.Count() - missing.Length);
    if (surplus > 0) Console.WriteLine($"{surplus} kernels of other sources, or not on the list");
    if (missing.Length == 0 && surplus == 0) Console.WriteLine($"all {prebuilt.Count} kernels are up to date (NVRTC {prebuilt.CompilerVersion})");
    return missing.Length == 0 && surplus == 0 ? 0 : 1;
}

int AddModel(string kernels, string name)
{
    using var model = new DecompModel(Presets.Names.Contains(name) ? RandomWeights.Of(Presets.Get(name)) : Checkpoint.Open(name));
    return Extend(kernels, list =>
    {
        foreach (KernelTarget target in shipped) ModelKernels.Add(list, model, target);
    });
}

int Extend(string kernels, Action<KernelList> extend)
{
    KernelList list = File.Exists(ListPath(kernels)) ? ReadList(kernels) : new();
    int before = list.Entries.Count();
    extend(list);
    File.WriteAllLines(ListPath(kernels), ["# Variants in prebuilt.zip: targets, file, kernel, macros. Made by tools/PrebuildKernels.", .. list.Lines]);
    Console.WriteLine($"{list.Entries.Count() - before} kernels added, {list.Entries.Count()} on the list");
    return 0;
}

static void Copy(KernelList from, KernelList to)
{
    foreach ((KernelVariant variant, string target) in from.Entries) to.Add(variant, target);
}

static KernelList ReadList(string kernels) => new(File.ReadLines(ListPath(kernels)));

static string ListPath(string kernels) => Path.Combine(kernels, "prebuilt.txt");

static string ZipPath(string kernels) => Path.Combine(kernels, "prebuilt.zip");
