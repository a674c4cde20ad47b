using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using RawDiffusion.Cuda.Baselines;
using RawDiffusion.Cuda.Compilation;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Cuda.Native;
using RawDiffusion.Cuda.Tests.Compilation;

namespace RawDiffusion.Cuda.Tests.Driver;

public sealed class NvidiaDriverTests
{
    [Test]
    public void The_library_exports_every_function_that_is_declared([Values] Library library)
    {
        (NativeLibraryFile file, Type declarations) = library switch
        {
            Library.Driver => (NativeLibraryFile.Driver, typeof(CudaApi)),
            Library.CuBlas => (NativeLibraryFile.CuBlas, typeof(CuBlas)),
            Library.CuDnn => (NativeLibraryFile.CuDnn, typeof(CuDnnApi)),
            Library.Nccl => (NativeLibraryFile.Nccl, typeof(Nccl)),
            _ => (NativeLibraryFile.Nvrtc, typeof(Nvrtc)),
        };
        if (!file.IsFound) Assert.Ignore(file.Missing);
        string[] names = [.. declarations.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
            .Where(m => m.IsDefined(typeof(LibraryImportAttribute))).Select(m => m.Name)];
        if (typeof(CudaApi).Assembly.GetReferencedAssemblies().Any(a => a.Name!.StartsWith("ManagedCuda", StringComparison.Ordinal)))
            Assert.Ignore("this build uses ManagedCuda's declarations");
        Assert.That(names, Has.Length.GreaterThan(3));
        Assert.That(names.Where(name => !NativeLibrary.TryGetExport(file.Handle, name, out _)), Is.Empty);
    }

    [Test]
    public void Structs_have_the_sizes_that_the_driver_expects()
    {
        Assert.That(Unsafe.SizeOf<CudaApi.KernelNodeParameters>(), Is.EqualTo(56));
        Assert.That(Unsafe.SizeOf<CudaApi.Memcpy3D>(), Is.EqualTo(200));
        Assert.That(Unsafe.SizeOf<CuDnnApi.Measurement>(), Is.EqualTo(48));
        Assert.That(Unsafe.SizeOf<Nccl.UniqueId>(), Is.EqualTo(128));
    }

    [Test]
    public void Without_a_GPU_opening_says_so_and_what_to_do()
    {
        try
        {
            using var driver = NvidiaDriver.Open();
            Assert.Ignore($"this machine has a GPU: {driver.Device.Name}");
        }
        catch (CudaException exception)
        {
            Assert.That(exception.Message, Does.StartWith("cuInit -> "));
            Assert.That(exception.Result, Is.AnyOf("NO_DEVICE", "NO_DRIVER"));
            Assert.That(exception.Message, Does.Contain("use the cpu or the emulated device"));
        }
    }

    [Test]
    public void A_driver_that_is_installed_without_a_GPU_says_NO_DEVICE()
    {
        if (NvidiaDriver.SupportedCuda() is not { } version) Assert.Ignore(NativeLibraryFile.Driver.Missing);
        else Assert.That(version, Does.Match(@"^\d+\.\d$"));
        try
        {
            Assert.That(NvidiaDriver.Devices(), Is.Not.Empty);
        }
        catch (CudaException exception)
        {
            Assert.That(exception.Message, Does.StartWith("cuInit -> NO_DEVICE; no GPU is visible"));
        }
    }

    [Test]
    public unsafe void A_GPU_runs_a_kernel_launched_and_in_a_graph()
    {
        using NvidiaDriver driver = Open();
        byte[] image = new KernelCompiler(Compiler.Sources, Compiler.Nvrtc).Compile(Compiler.ScaleForward, driver.Target);
        nint module = driver.LoadModule(image), function = driver.GetFunction(module, "scale_forward"), stream = driver.CreateStream();
        const int count = 200, bytes = count * sizeof(float);
        ulong x = driver.Allocate(bytes), y = driver.Allocate(bytes), z = driver.Allocate(bytes);
        float[] input = [.. Enumerable.Range(0, count).Select(i => (float)i)], output = new float[count];
        var geometry = new LaunchGeometry(2, 128);
        fixed (float* from = input, to = output)
        {
            driver.CopyToDevice(x, (nint)from, bytes, stream);
            driver.Launch(function, geometry, Arguments(x, y), stream);
            nint graph = driver.CreateGraph();
            nint first = driver.AddKernelNode(graph, [], function, geometry, Arguments(y, z));
            driver.AddCopyNode(graph, [first], y, z, bytes);
            nint executable = driver.InstantiateGraph(graph);
            driver.LaunchGraph(executable, stream);
            driver.LaunchGraph(executable, stream);
            driver.CopyToHost((nint)to, y, bytes, stream);
            driver.Synchronize(stream);
            driver.DestroyExecutableGraph(executable);
            driver.DestroyGraph(graph);
        }
        Assert.That(output, Is.EqualTo(input.Select(v => v * 216)));
        Assert.That(() => driver.Launch(function, new LaunchGeometry(2, 2048), Arguments(x, y), stream),
            Throws.TypeOf<CudaException>().With.Message.StartsWith(
            "cuLaunchKernel(scale_forward) -> INVALID_VALUE; grid (2, 1, 1), block (2048, 1, 1)"));
        Assert.That(() => driver.LoadModule(Encoding.UTF8.GetBytes("nonsense")), Throws.TypeOf<CudaException>());
        foreach (ulong address in new[] { x, y, z }) driver.Free(address);
        driver.DestroyStream(stream);
        driver.UnloadModule(module);

        static byte[] Arguments(ulong from, ulong to) =>
            [.. BitConverter.GetBytes(from), .. BitConverter.GetBytes(to), .. BitConverter.GetBytes(count)];
    }

    public enum Library
    {
        Driver,
        Nvrtc,
        CuBlas,
        CuDnn,
        Nccl,
    }

    private static NvidiaDriver Open()
    {
        try
        {
            return NvidiaDriver.Open();
        }
        catch (CudaException exception)
        {
            Assert.Ignore(exception.Message);
            throw;
        }
    }
}
