using RawDiffusion.Cuda;
using RawDiffusion.Cuda.Checks;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;

namespace PrebuildKernels;

/// <summary>The kernels that <c>check</c> runs, found by compiling its cases for a device that does nothing.</summary>
internal static class CheckKernels
{
    /// <summary>Adds the kernels of all cases, in all precisions.</summary>
    /// <param name="list">Where to.</param>
    /// <param name="target">What the kernels are for.</param>
    /// <returns>How many there are.</returns>
    public static int Add(KernelList list, KernelTarget target)
    {
        int before = list.Entries.Count();
        foreach (KernelCase kernelCase in KernelCases.All)
        {
            var prepared = new PreparedCase(kernelCase);
            foreach (Precision precision in Enum.GetValues<Precision>())
            {
                using var device = new CudaDevice(new IdleDriver(target), new KernelLister(list), precision, specialize: false);
                KernelCheck.Run(device, prepared, new HashSet<string>());
            }
        }
        foreach (Precision precision in Enum.GetValues<Precision>())
        {
            using var device = new CudaDevice(new IdleDriver(target), new KernelLister(list), precision, specialize: false);
            foreach (LargeCase large in LargeCases.All) KernelCheck.Run(device, large);
        }
        return list.Entries.Count() - before;
    }
}
