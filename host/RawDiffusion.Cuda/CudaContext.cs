using System.Collections.Concurrent;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Exchange;

namespace RawDiffusion.Cuda;

/// <summary>What the executables of a device share: the driver and the kernels that are loaded, the precision, the processes.</summary>
/// <param name="driver">What executes; owned.</param>
/// <param name="compiler">Gives compiled kernels.</param>
/// <param name="precision">Storage and operands.</param>
/// <param name="specialize">Whether extents of shapes become compile-time constants of kernels.</param>
/// <param name="ranks">The processes that run graphs together; null where this one is alone. Owned.</param>
internal sealed class CudaContext(ICudaDriver driver, IKernelCompiler compiler, Precision precision, bool specialize, IDeviceRanks? ranks)
    : IDisposable
{
    private readonly Dictionary<KernelVariant, (nint Module, nint Function)> functions = [];
    private readonly Dictionary<nint, int> dynamicShared = [];
    private bool disposed;

    public ICudaDriver Driver => driver;

    public Precision Precision => precision;

    public bool Specialize => specialize;

    public IDeviceRanks? Ranks => ranks;

    /// <summary>Compiles, side by side, and loads the variants that are not loaded yet.</summary>
    public void Load(IEnumerable<KernelVariant> variants)
    {
        KernelVariant[] missing = [.. variants.Distinct().Where(v => !functions.ContainsKey(v))];
        var images = new ConcurrentDictionary<KernelVariant, byte[]>();
        try
        {
            Parallel.ForEach(missing, v => images[v] = compiler.Compile(v, driver.Target));
        }
        catch (AggregateException e)
        {
            // One message is enough: the first kernel that does not compile.
            throw e.Flatten().InnerExceptions[0];
        }
        foreach (KernelVariant variant in missing)
        {
            nint module = driver.LoadModule(images[variant]);
            functions.Add(variant, (module, driver.GetFunction(module, variant.Kernel)));
        }
    }

    /// <summary>A loaded kernel, allowed the shared memory that a launch asks for.</summary>
    public nint Function(KernelVariant variant, int sharedBytes)
    {
        nint function = functions[variant].Function;
        // Also below 48 KiB, which static memory shares: a kernel that nobody allowed more has only what that leaves.
        if (dynamicShared.GetValueOrDefault(function) < sharedBytes)
        {
            driver.AllowDynamicSharedMemory(function, sharedBytes);
            dynamicShared[function] = sharedBytes;
        }
        return function;
    }

    public void Dispose()
    {
        if (disposed) return;
        disposed = true;
        ranks?.Dispose();
        foreach ((nint module, _) in functions.Values) driver.UnloadModule(module);
        functions.Clear();
        driver.Dispose();
    }
}
