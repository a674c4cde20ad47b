using RawDiffusion.Cuda.Exchange;
using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Tests.Exchange;

/// <summary>
/// A process of two, both of which have the same numbers, but for the sign of what is gathered: sums are twice the numbers.
/// </summary>
internal sealed unsafe class DoublingExchange(LateStreams driver) : IStreamExchange
{
    public string Description => "doubling";

    public int Size => 2;

    /// <summary>What <see cref="ThrowIfFailed"/> throws.</summary>
    public Exception? Failure { get; set; }

    public bool IsDisposed { get; private set; }

    public void AllReduce(ulong data, int count, nint stream) => driver.Queue(stream, () =>
    {
        driver.Log.Add("sum");
        Write(data, [.. Read(data, count).Select(x => 2 * x)]);
    });

    public void AllGather(ulong source, ulong destination, int count, nint stream) => driver.Queue(stream, () =>
    {
        driver.Log.Add("gather");
        float[] own = Read(source, count);
        Write(destination, [.. own, .. own.Select(x => -x)]);
    });

    public void ThrowIfFailed()
    {
        if (Failure is { } failure) throw failure;
    }

    public void Dispose() => IsDisposed = true;

    private float[] Read(ulong address, int count)
    {
        float[] values = new float[count];
        fixed (float* to = values) driver.Inner.CopyToHost((nint)to, address, 4L * count, 0);
        return values;
    }

    private void Write(ulong address, float[] values)
    {
        fixed (float* from = values) driver.Inner.CopyToDevice(address, (nint)from, 4L * values.Length, 0);
    }
}

/// <summary>As <see cref="DoublingExchange"/>, in host memory. From start to wait, memory holds NaN.</summary>
internal sealed unsafe class DoublingRanks(List<string> log) : ICommunicator
{
    private readonly Dictionary<nint, float[]> pending = [];

    public int Rank => 0;

    public int Size => 2;

    public int LocalRank => 0;

    public void StartAllReduce(nint data, int count)
    {
        var numbers = new Span<float>((float*)data, count);
        pending.Add(data, numbers.ToArray());
        numbers.Fill(float.NaN);
    }

    public void Wait(nint data)
    {
        log.Add("sum");
        pending.Remove(data, out float[]? numbers);
        for (int i = 0; i < numbers!.Length; i++) ((float*)data)[i] = 2 * numbers[i];
    }

    public void AllGather(nint source, nint destination, int count)
    {
        log.Add("gather");
        for (int i = 0; i < count; i++)
            (((float*)destination)[i], ((float*)destination)[count + i]) = (((float*)source)[i], -((float*)source)[i]);
    }

    public void Broadcast(Span<byte> data, int root)
    {
    }

    public void Dispose()
    {
    }
}
