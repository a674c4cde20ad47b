using System.Runtime.Loader;

namespace RawDiffusion.Cuda.Native;

public sealed partial class NativeLibraryFile
{
    // An assembly has one resolver, and ManagedCuda sets its own, which finds a library only under a name without a version
    // (libnvrtc.so): that is in packages for developers. What it does not find comes here.
    static partial void ResolveManagedCuda()
    {
        var context = AssemblyLoadContext.GetLoadContext(typeof(global::ManagedCuda.DriverAPINativeMethods).Assembly)!;
        context.ResolvingUnmanagedDll += (_, import) => Imported(import)?.Handle ?? 0;
    }
}
