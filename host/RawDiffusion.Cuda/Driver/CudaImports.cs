using System.Runtime.InteropServices;
using RawDiffusion.Cuda.Native;

namespace RawDiffusion.Cuda.Driver;

// Names with a suffix are those that the headers give to programs since CUDA 4 or 11; every driver since CUDA 11.4 exports
// all of these with these signatures.
internal static unsafe partial class CudaApi
{
    public const int MinimumDriverVersion = 11040;

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuInit(uint flags);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDriverGetVersion(int* version);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGetErrorName(int error, byte** name);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDeviceGetCount(int* count);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDeviceGet(int* device, int ordinal);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDeviceGetName([Out] byte[] name, int bytes, int device);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDeviceGetUuid(byte* uuid, int device);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDeviceTotalMem_v2(nuint* bytes, int device);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDeviceGetAttribute(int* value, int attribute, int device);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDevicePrimaryCtxRetain(nint* context, int device);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuDevicePrimaryCtxRelease_v2(int device);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuCtxSetCurrent(nint context);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemAlloc_v2(ulong* address, nuint bytes);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemFree_v2(ulong address);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemHostAlloc(nint* address, nuint bytes, uint flags);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemFreeHost(nint address);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemcpyHtoDAsync_v2(ulong destination, nint source, nuint bytes, nint stream);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemcpyDtoHAsync_v2(nint destination, ulong source, nuint bytes, nint stream);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemcpyDtoDAsync_v2(ulong destination, ulong source, nuint bytes, nint stream);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuMemsetD8Async(ulong destination, byte value, nuint bytes, nint stream);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuModuleLoadDataEx(nint* module, byte[] image, uint count, int[] options, nint[] values);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuModuleUnload(nint module);

    [LibraryImport(NativeLibraryFile.DriverImport, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int cuModuleGetFunction(nint* function, nint module, string name);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuFuncSetAttribute(nint function, int attribute, int value);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream,
            nint* parameters, nint* extra);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuStreamCreate(nint* stream, uint flags);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuStreamDestroy_v2(nint stream);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuStreamSynchronize(nint stream);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuStreamWaitEvent(nint stream, nint happened, uint flags);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuEventCreate(nint* happened, uint flags);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuEventDestroy_v2(nint happened);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuEventRecord(nint happened, nint stream);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuEventElapsedTime(float* milliseconds, nint start, nint end);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGraphCreate(nint* graph, uint flags);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGraphDestroy(nint graph);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGraphAddKernelNode(
        nint* node, nint graph, nint* dependencies, nuint count, KernelNodeParameters* parameters);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGraphAddMemcpyNode(nint* node, nint graph, nint* dependencies, nuint count, Memcpy3D* copy, nint context);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGraphInstantiateWithFlags(nint* executable, nint graph, ulong flags);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGraphExecDestroy(nint executable);

    [LibraryImport(NativeLibraryFile.DriverImport)]
    public static partial int cuGraphLaunch(nint executable, nint stream);
}
