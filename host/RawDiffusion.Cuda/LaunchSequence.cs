using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Launches;

namespace RawDiffusion.Cuda;

/// <summary>
/// The launches of an executable as few calls of the driver: one CUDA graph, or several where processes exchange something
/// between two kernels, one after the other on a stream.
/// </summary>
internal sealed class LaunchSequence : IDisposable
{
    private readonly ICudaDriver driver;
    private readonly List<(nint Graph, nint Executable)> graphs = [];
    private readonly List<Action<nint>> calls = [];

    /// <summary>Makes the graphs.</summary>
    /// <param name="driver">What executes them.</param>
    /// <param name="launches">In order.</param>
    /// <param name="copies">On the device, after all launches.</param>
    /// <param name="function">The loaded kernel of a launch.</param>
    public LaunchSequence(
        ICudaDriver driver, IReadOnlyList<DeviceLaunch> launches, IReadOnlyList<(
            DeviceRange Destination, DeviceRange Source)> copies, Func<KernelLaunch, nint> function)
    {
        this.driver = driver;
        try
        {
            var kernels = new List<KernelLaunch>();
            foreach (DeviceLaunch launch in launches)
            {
                if (launch is KernelLaunch kernel)
                {
                    kernels.Add(kernel);
                }
                else if (launch is ExchangeLaunch exchange)
                {
                    AddGraph(kernels, [], function);
                    calls.Add(exchange.Run);
                    kernels.Clear();
                }
            }
            AddGraph(kernels, copies, function);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Queues everything on a stream.</summary>
    public void Run(nint stream)
    {
        foreach (Action<nint> call in calls) call(stream);
    }

    public void Dispose()
    {
        foreach ((nint graph, nint executable) in graphs)
        {
            if (executable != 0) driver.DestroyExecutableGraph(executable);
            driver.DestroyGraph(graph);
        }
        graphs.Clear();
    }

    private void AddGraph(IReadOnlyList<KernelLaunch> kernels, IReadOnlyList<(
        DeviceRange Destination, DeviceRange Source)> copies, Func<KernelLaunch, nint> function)
    {
        if (kernels.Count + copies.Count == 0) return;
        nint graph = driver.CreateGraph();
        graphs.Add((graph, 0));
        var dependencies = new LaunchDependencies();
        var nodes = new List<nint>();
        nint[] Before(IReadOnlyList<DeviceRange> reads, IReadOnlyList<DeviceRange> writes) =>
            [.. dependencies.Add(reads, writes).Select(i => nodes[i])];
        foreach (KernelLaunch launch in kernels)
        {
            nint[] before = Before(launch.Reads, launch.Writes);
            nodes.Add(driver.AddKernelNode(graph, before, function(launch), launch.Geometry, launch.Arguments));
        }
        foreach ((DeviceRange destination, DeviceRange source) in copies)
        {
            nint[] before = Before([source], [destination]);
            nodes.Add(driver.AddCopyNode(graph, before, destination.Address, source.Address, source.Bytes));
        }
        nint executable = driver.InstantiateGraph(graph);
        graphs[^1] = (graph, executable);
        calls.Add(stream => driver.LaunchGraph(executable, stream));
    }
}
