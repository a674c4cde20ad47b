using System.Runtime.InteropServices;
using System.Text;
using static RawDiffusion.Cuda.Driver.CudaApi;

namespace RawDiffusion.Cuda.Driver;

// Modules, launches and graphs.
public sealed unsafe partial class NvidiaDriver
{
    /// <inheritdoc/>
    public nint LoadModule(ReadOnlySpan<byte> image)
    {
        MakeCurrent();
        byte[] log = GC.AllocateArray<byte>(LogBytes, pinned: true);
        nint module;
        int result = cuModuleLoadDataEx(&module, [.. image, 0], 2, // PTX is text, which ends with a zero
            [JitErrorLogBuffer, JitErrorLogBufferBytes], [Marshal.UnsafeAddrOfPinnedArrayElement(log, 0), LogBytes]);
        if (result == 0) return module;
        string advice = result == UnsupportedPtxVersion ? "the compiler is newer than the driver: update NVIDIA's driver" : Text(log);
        throw Error(result, "cuModuleLoadDataEx", $"code for {Device.Name} of compute capability "
            + $"{Device.ComputeCapability / 10}.{Device.ComputeCapability % 10}; {advice}".TrimEnd(' ', ';'));
    }

    /// <inheritdoc/>
    public void UnloadModule(nint module)
    {
        MakeCurrent();
        Check(cuModuleUnload(module), "cuModuleUnload");
    }

    /// <inheritdoc/>
    public nint GetFunction(nint module, string name)
    {
        MakeCurrent();
        nint function;
        int result = cuModuleGetFunction(&function, module, name);
        if (result != 0) throw Error(result, $"cuModuleGetFunction({name})", "the module has no such kernel");
        names[function] = name;
        return function;
    }

    /// <inheritdoc/>
    public void AllowDynamicSharedMemory(nint function, int bytes)
    {
        MakeCurrent();
        int result = cuFuncSetAttribute(function, FunctionMaxDynamicSharedBytes, bytes);
        if (result != 0)
        {
            throw Error(result, $"cuFuncSetAttribute({NameOf(function)})", $"{bytes} bytes of dynamic shared memory; a block of this GPU "
                + $"has at most {Device.MaxSharedBytesPerBlock}, static included");
        }
    }

    /// <inheritdoc/>
    public void Launch(nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments, nint stream)
    {
        MakeCurrent();
        nuint bytes = (nuint)arguments.Length;
        int result;
        fixed (byte* start = arguments)
        {
            nint* extra = stackalloc nint[] { LaunchParameterBuffer, (nint)start, LaunchParameterBufferBytes, (nint)(&bytes),
                LaunchParameterEnd };
            (Dim3 grid, Dim3 block) = (geometry.Grid, geometry.Block);
            result = cuLaunchKernel(function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)block.X, (uint)block.Y, (uint)block.Z,
                (uint)geometry.SharedBytes, stream, null, bytes == 0 ? null : extra);
        }
        if (result != 0) throw Error(result, $"cuLaunchKernel({NameOf(function)})", Given(geometry, arguments));
    }

    /// <inheritdoc/>
    public nint CreateGraph()
    {
        MakeCurrent();
        nint graph;
        Check(cuGraphCreate(&graph, 0), "cuGraphCreate");
        return graph;
    }

    /// <inheritdoc/>
    public void DestroyGraph(nint graph)
    {
        MakeCurrent();
        Check(cuGraphDestroy(graph), "cuGraphDestroy");
    }

    /// <inheritdoc/>
    public nint AddKernelNode(
        nint graph, ReadOnlySpan<nint> dependencies, nint function, in LaunchGeometry geometry, ReadOnlySpan<byte> arguments)
    {
        MakeCurrent();
        nuint bytes = (nuint)arguments.Length;
        nint node;
        int result;
        fixed (byte* start = arguments)
        fixed (nint* before = dependencies)
        {
            // The driver copies the buffer while it adds the node.
            nint* extra = stackalloc nint[] { LaunchParameterBuffer, (nint)start, LaunchParameterBufferBytes, (nint)(&bytes),
                LaunchParameterEnd };
            (Dim3 grid, Dim3 block) = (geometry.Grid, geometry.Block);
            var parameters = new KernelNodeParameters
            {
                Function = function,
                GridX = (uint)grid.X,
                GridY = (uint)grid.Y,
                GridZ = (uint)grid.Z,
                BlockX = (uint)block.X,
                BlockY = (uint)block.Y,
                BlockZ = (uint)block.Z,
                SharedBytes = (uint)geometry.SharedBytes,
                Extra = bytes == 0 ? null : extra,
            };
            result = cuGraphAddKernelNode(&node, graph, before, (nuint)dependencies.Length, &parameters);
        }
        if (result != 0) throw Error(result, $"cuGraphAddKernelNode({NameOf(function)})", Given(geometry, arguments));
        return node;
    }

    /// <inheritdoc/>
    public nint AddCopyNode(nint graph, ReadOnlySpan<nint> dependencies, ulong destination, ulong source, long bytes)
    {
        MakeCurrent();
        nint node;
        var copy = new Memcpy3D
        {
            Source = Side(source, bytes),
            Destination = Side(destination, bytes),
            WidthBytes = (nuint)bytes,
            Height = 1,
            Depth = 1,
        };
        int result;
        fixed (nint* before = dependencies) result = cuGraphAddMemcpyNode(&node, graph, before, (nuint)dependencies.Length, &copy, context);
        CheckCopy(result, "cuGraphAddMemcpyNode", destination, source, bytes);
        return node;
    }

    /// <inheritdoc/>
    public nint InstantiateGraph(nint graph)
    {
        MakeCurrent();
        nint executable;
        Check(cuGraphInstantiateWithFlags(&executable, graph, 0), "cuGraphInstantiateWithFlags");
        return executable;
    }

    /// <inheritdoc/>
    public void DestroyExecutableGraph(nint executable)
    {
        MakeCurrent();
        Check(cuGraphExecDestroy(executable), "cuGraphExecDestroy");
    }

    /// <inheritdoc/>
    public void LaunchGraph(nint executable, nint stream)
    {
        MakeCurrent();
        Check(cuGraphLaunch(executable, stream), "cuGraphLaunch");
    }

    private static Memcpy3D.Side Side(ulong address, long bytes) =>
        new() { MemoryType = MemoryTypeDevice, Device = address, PitchBytes = (nuint)bytes, Height = 1 };

    private static string Given(in LaunchGeometry geometry, ReadOnlySpan<byte> arguments) =>
        $"{geometry}, {arguments.Length} bytes of parameters";

    private static string Text(ReadOnlySpan<byte> log) => Encoding.UTF8.GetString(log[..Math.Max(0, log.IndexOf((byte)0))]).Trim();
}
