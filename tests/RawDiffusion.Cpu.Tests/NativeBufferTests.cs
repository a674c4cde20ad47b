using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cpu.Tests;

[NonParallelizable]
public sealed class NativeBufferTests
{
    [SetUp]
    public void Track() => NativeBuffer.TrackAllocations = true;

    [TearDown]
    public void Untrack() => NativeBuffer.TrackAllocations = false;

    [Test]
    public unsafe void Memory_is_aligned_and_zero([Values(0, 4, 64, 1000, 1 << 20)] int bytes)
    {
        using var buffer = new NativeBuffer(bytes, "a test");
        Assert.That((long)buffer.Pointer % 64, Is.Zero);
        Assert.That(buffer.ByteCount, Is.EqualTo(bytes));
        Assert.That(new Span<byte>(buffer.Pointer, bytes).ContainsAnyExcept((byte)0), Is.False);
    }

    [Test]
    public unsafe void A_disposed_buffer_refuses_access()
    {
        var buffer = new NativeBuffer(4, "a test");
        buffer.Dispose();
        buffer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => _ = (nint)buffer.Pointer);
    }

    [Test]
    public void A_leak_tells_where_it_was_allocated()
    {
        using (var buffer = new NativeBuffer(4, "a test"))
        {
            Assert.That(NativeBuffer.Leaks, Has.Exactly(1).Contains(nameof(A_leak_tells_where_it_was_allocated)));
        }
        Assert.That(NativeBuffer.Leaks, Is.Empty);
    }

    [Test]
    public void Device_and_executables_free_all_their_memory()
    {
        using (var device = new CpuDevice(2))
        {
            using IExecutable executable = device.Compile(Network.Make());
            executable.Run();
            Assert.That(NativeBuffer.Leaks, Is.Not.Empty);
        }
        Assert.That(NativeBuffer.Leaks, Is.Empty);
    }

    [Test]
    public void A_compilation_that_fails_frees_what_it_had()
    {
        var g = new Graph();
        Value x = g.Conv2d(g.Input("x", [2, 3, 3, 4]), g.Constant("w", [4, 1, 1, 4], new float[16]), null);
        // What only a fusion for other devices makes.
        g.Output("y", g.Apply(new Conv2d(1, 0), [x, g.Constant("v", [4, 1, 1, 4], new float[16]), null, null, null, null, null, x, null,
            g.Constant("skip", [4, 1, 1, 4], new float[16])]));
        using (var device = new CpuDevice(1)) Assert.Throws<GraphException>(() => device.Compile(g));
        Assert.That(NativeBuffer.Leaks, Is.Empty);
    }
}
