using System.Runtime.InteropServices;
using ManagedCuda.BasicTypes;
using static ManagedCuda.DriverAPINativeMethods;

namespace RawDiffusion.Cuda.Driver;

// The functions of CudaImports through ManagedCuda's declarations, which want structs around handles, and arrays.
internal static unsafe partial class CudaApi
{
    // Its cuGraphAddKernelNode is cuGraphAddKernelNode_v2.
    public const int MinimumDriverVersion = 12000;

    private const int ExtraEntries = 5;

    public static int cuInit(uint flags) => (int)global::ManagedCuda.DriverAPINativeMethods.cuInit((CUInitializationFlags)flags);

    public static int cuDriverGetVersion(int* version) => (int)global::ManagedCuda.DriverAPINativeMethods.cuDriverGetVersion(ref *version);

    public static int cuGetErrorName(int error, byte** name) => (int)ErrorHandling.cuGetErrorName((CUResult)error, ref *(nint*)name);

    public static int cuDeviceGetCount(int* count) => (int)DeviceManagement.cuDeviceGetCount(ref *count);

    public static int cuDeviceGet(int* device, int ordinal) => (int)DeviceManagement.cuDeviceGet(ref *(CUdevice*)device, ordinal);

    public static int cuDeviceGetName(byte[] name, int bytes, int device) =>
        (int)DeviceManagement.cuDeviceGetName(name, bytes, Device(device));

    public static int cuDeviceGetUuid(byte* uuid, int device)
    {
        var found = new CUuuid { bytes = new byte[16] };
        int result = (int)DeviceManagement.cuDeviceGetUuid(ref found, Device(device));
        found.bytes.CopyTo(new Span<byte>(uuid, found.bytes.Length));
        return result;
    }

    public static int cuDeviceTotalMem_v2(nuint* bytes, int device) =>
        (int)DeviceManagement.cuDeviceTotalMem_v2(ref *(SizeT*)bytes, Device(device));

    public static int cuDeviceGetAttribute(int* value, int attribute, int device) =>
        (int)DeviceManagement.cuDeviceGetAttribute(ref *value, (CUDeviceAttribute)attribute, Device(device));

    public static int cuDevicePrimaryCtxRetain(nint* context, int device) =>
        (int)ContextManagement.cuDevicePrimaryCtxRetain(ref *(CUcontext*)context, Device(device));

    public static int cuDevicePrimaryCtxRelease_v2(int device) => (int)ContextManagement.cuDevicePrimaryCtxRelease(Device(device));

    public static int cuCtxSetCurrent(nint context) => (int)ContextManagement.cuCtxSetCurrent(new() { Pointer = context });

    public static int cuMemAlloc_v2(ulong* address, nuint bytes) => (int)MemoryManagement.cuMemAlloc_v2(ref *(CUdeviceptr*)address, bytes);

    public static int cuMemFree_v2(ulong address) => (int)MemoryManagement.cuMemFree_v2(At(address));

    public static int cuMemHostAlloc(nint* address, nuint bytes, uint flags) =>
        (int)MemoryManagement.cuMemHostAlloc(ref *address, bytes, (CUMemHostAllocFlags)flags);

    public static int cuMemFreeHost(nint address) => (int)MemoryManagement.cuMemFreeHost(address);

    public static int cuMemcpyHtoDAsync_v2(ulong destination, nint source, nuint bytes, nint stream) =>
        (int)AsynchronousMemcpy_v2.cuMemcpyHtoDAsync_v2(At(destination), source, bytes, Stream(stream));

    public static int cuMemcpyDtoHAsync_v2(nint destination, ulong source, nuint bytes, nint stream) =>
        (int)AsynchronousMemcpy_v2.cuMemcpyDtoHAsync_v2(destination, At(source), bytes, Stream(stream));

    public static int cuMemcpyDtoDAsync_v2(ulong destination, ulong source, nuint bytes, nint stream) =>
        (int)AsynchronousMemcpy_v2.cuMemcpyDtoDAsync_v2(At(destination), At(source), bytes, Stream(stream));

    public static int cuMemsetD8Async(ulong destination, byte value, nuint bytes, nint stream) =>
        (int)MemsetAsync.cuMemsetD8Async(At(destination), value, bytes, Stream(stream));

    public static int cuModuleLoadDataEx(nint* module, byte[] image, uint count, int[] options, nint[] values) =>
        (int)ModuleManagement.cuModuleLoadDataEx(
        ref *(CUmodule*)module, image, count, Array.ConvertAll(options, o => (CUJITOption)o), values);

    public static int cuModuleUnload(nint module) => (int)ModuleManagement.cuModuleUnload(new() { Pointer = module });

    public static int cuModuleGetFunction(nint* function, nint module, string name) =>
        (int)ModuleManagement.cuModuleGetFunction(ref *(CUfunction*)function, new() { Pointer = module }, name);

    public static int cuFuncSetAttribute(nint function, int attribute, int value) =>
        (int)FunctionManagement.cuFuncSetAttribute(Function(function), (CUFunctionAttribute)attribute, value);

    public static int cuLaunchKernel(
        nint function, uint gridX, uint gridY, uint gridZ, uint blockX, uint blockY, uint blockZ, uint sharedBytes, nint stream,
            nint* parameters, nint* extra) =>
        (int)global::ManagedCuda.DriverAPINativeMethods.Launch.cuLaunchKernel(
        Function(function), gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, Stream(stream),
            null, extra == null ? null : new ReadOnlySpan<nint>(extra, ExtraEntries).ToArray());

    public static int cuStreamCreate(nint* stream, uint flags) => (int)Streams.cuStreamCreate(ref *(CUstream*)stream, (CUStreamFlags)flags);

    public static int cuStreamDestroy_v2(nint stream) => (int)Streams.cuStreamDestroy_v2(Stream(stream));

    public static int cuStreamSynchronize(nint stream) => (int)Streams.cuStreamSynchronize(Stream(stream));

    public static int cuStreamWaitEvent(nint stream, nint happened, uint flags) =>
        (int)Streams.cuStreamWaitEvent(Stream(stream), Event(happened), flags);

    public static int cuEventCreate(nint* happened, uint flags) => (int)Events.cuEventCreate(ref *(CUevent*)happened, (CUEventFlags)flags);

    public static int cuEventDestroy_v2(nint happened) => (int)Events.cuEventDestroy_v2(Event(happened));

    public static int cuEventRecord(nint happened, nint stream) => (int)Events.cuEventRecord(Event(happened), Stream(stream));

    public static int cuEventElapsedTime(float* milliseconds, nint start, nint end) =>
        (int)Events.cuEventElapsedTime(ref *milliseconds, Event(start), Event(end));

    public static int cuGraphCreate(nint* graph, uint flags) => (int)GraphManagment.cuGraphCreate(ref *(CUgraph*)graph, flags);

    public static int cuGraphDestroy(nint graph) => (int)GraphManagment.cuGraphDestroy(Graph(graph));

    public static int cuGraphAddKernelNode(nint* node, nint graph, nint* dependencies, nuint count, KernelNodeParameters* parameters)
    {
        var given = new CudaKernelNodeParams
        {
            func = Function(parameters->Function),
            gridDimX = parameters->GridX,
            gridDimY = parameters->GridY,
            gridDimZ = parameters->GridZ,
            blockDimX = parameters->BlockX,
            blockDimY = parameters->BlockY,
            blockDimZ = parameters->BlockZ,
            sharedMemBytes = parameters->SharedBytes,
            kernelParams = (nint)parameters->Parameters,
            extra = (nint)parameters->Extra,
        };
        return (int)GraphManagment.cuGraphAddKernelNode(
            ref *(CUgraphNode*)node, Graph(graph), Nodes(dependencies, count), count, ref given);
    }

    public static int cuGraphAddMemcpyNode(nint* node, nint graph, nint* dependencies, nuint count, Memcpy3D* copy, nint context) =>
        (int)GraphManagment.cuGraphAddMemcpyNode(
        ref *(CUgraphNode*)node, Graph(graph), Nodes(dependencies, count), count, ref *(CUDAMemCpy3D*)copy, new() { Pointer = context });

    public static int cuGraphInstantiateWithFlags(nint* executable, nint graph, ulong flags) =>
        (int)GraphManagment.cuGraphInstantiate(ref *(CUgraphExec*)executable, Graph(graph), (CUgraphInstantiate_flags)flags);

    public static int cuGraphExecDestroy(nint executable) => (int)GraphManagment.cuGraphExecDestroy(new() { Pointer = executable });

    public static int cuGraphLaunch(nint executable, nint stream) =>
        (int)GraphManagment.cuGraphLaunch(new() { Pointer = executable }, Stream(stream));

    private static CUdevice Device(int device) => new() { Pointer = device };

    private static CUdeviceptr At(ulong address) => new() { Pointer = address };

    private static CUfunction Function(nint function) => new() { Pointer = function };

    private static CUstream Stream(nint stream) => new() { Pointer = stream };

    private static CUevent Event(nint happened) => new() { Pointer = happened };

    private static CUgraph Graph(nint graph) => new() { Pointer = graph };

    private static CUgraphNode[] Nodes(nint* dependencies, nuint count) =>
        MemoryMarshal.Cast<nint, CUgraphNode>(new ReadOnlySpan<nint>(dependencies, (int)count)).ToArray();
}
