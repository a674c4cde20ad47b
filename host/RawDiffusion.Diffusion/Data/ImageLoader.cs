using System.Diagnostics;
using System.Runtime.ExceptionServices;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// Batches of a set by step. What is in the batch of a step is a function of (seed, step, set, batch size) alone, so a run that
/// goes on at a step sees what it would have seen. Threads load the steps ahead, an image at a time.
/// </summary>
/// <remarks>
/// Of R processes with batch b, together at step s, process r has images r b .. (r + 1) b - 1 of the batch that one process with
/// batch R b would have. An image that cannot be read is replaced by the next one of the set that can. <see cref="Next"/> belongs
/// to one thread.
/// </remarks>
public sealed class ImageLoader : IDisposable
{
    private readonly object gate = new();
    private readonly ImageSet set;
    private readonly LoaderOptions options;
    private readonly BatchOrder order;
    private readonly Slot[] slots;
    private readonly Thread[] threads;
    private readonly ReadPolicy policy;
    private long waited;
    private long nextItem;
    private bool stopping;

    /// <summary>Starts to load.</summary>
    /// <param name="set">The images; the caller disposes it after the loader.</param>
    /// <param name="options">Batch, order, threads.</param>
    /// <param name="step">The step that <see cref="Next"/> gives first.</param>
    /// <exception cref="ArgumentException">A number is out of range.</exception>
    public ImageLoader(ImageSet set, LoaderOptions options, long step = 0)
    {
        if (options.Batch < 1) throw new ArgumentException($"expected a batch of at least one image, found {options.Batch}");
        if (options.Rank < 0 || options.Rank >= options.World)
            throw new ArgumentException($"expected a rank from 0 to {options.World - 1}, found {options.Rank}");
        if (options.Threads < 1 || options.Ahead < 1) throw new ArgumentException("expected at least one thread and one step ahead");
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        (this.set, this.options, Step) = (set, options, step);
        policy = new ReadPolicy(set, options.Strict, options.Warn);
        order = new BatchOrder(set.Count, options.Seed, options.Shuffle);
        nextItem = step * options.Batch;
        slots = [.. Enumerable.Range(0, options.Ahead).Select(_ => new Slot(options.Batch * set.Length))];
        threads = [.. Enumerable.Range(0, options.Threads).Select(i => new Thread(Work) { IsBackground = true, Name = $"images {i}" })];
        foreach (Thread thread in threads) thread.Start();
    }

    /// <summary>The step that <see cref="Next"/> gives next.</summary>
    public long Step { get; private set; }

    /// <summary>Seconds that <see cref="Next"/> has waited for images.</summary>
    public double WaitedSeconds => Stopwatch.GetElapsedTime(0, waited).TotalSeconds;

    /// <summary>Images that could not be read, each counted once.</summary>
    public int Skipped => policy.Skipped;

    /// <summary>Values of a batch: b x S x S x 3.</summary>
    public int Length => options.Batch * set.Length;

    /// <summary>Images of a step in the set, in the batch's order, before any is replaced because it cannot be read.</summary>
    public int[] IndicesOf(long step) =>
        [.. Enumerable.Range(0, options.Batch).Select(item => order.IndexAt(PositionOf(step * options.Batch + item)))];

    /// <summary>The batch of <see cref="Step"/>, which becomes the next one.</summary>
    /// <param name="images">Receives [b, S, S, 3] in [0, 1].</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <exception cref="ArgumentException">The span's length is not <see cref="Length"/>.</exception>
    /// <exception cref="FileFormatException">
    /// With <see cref="LoaderOptions.Strict"/>, an image that cannot be read, by name; without, a set in which none can.
    /// </exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public void Next(Span<float> images, CancellationToken cancellation = default)
    {
        if (images.Length != Length) throw new ArgumentException($"a batch has {Length} values, expected as many, found {images.Length}");
        Slot slot = slots[Step % slots.Length];
        using CancellationTokenRegistration registration = cancellation.Register(Wake);
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(stopping, this);
            long start = Stopwatch.GetTimestamp();
            bool waits = slot.Loaded < options.Batch;
            while (slot.Loaded < options.Batch && slot.Failure is null)
            {
                cancellation.ThrowIfCancellationRequested();
                Monitor.Wait(gate);
            }
            if (waits) waited += Stopwatch.GetTimestamp() - start;
            slot.Failure?.Throw();
            slot.Images.CopyTo(images);
            slot.Loaded = 0;
            Step++;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Stops the threads and waits for them: each ends the image that it has begun.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            stopping = true;
            Monitor.PulseAll(gate);
        }
        foreach (Thread thread in threads) thread.Join();
    }

    private void Wake()
    {
        lock (gate) Monitor.PulseAll(gate);
    }

    /// <summary>Place of an item of this process among those of all processes.</summary>
    private long PositionOf(long item)
    {
        (long step, long place) = Math.DivRem(item, options.Batch);
        return (step * options.World + options.Rank) * options.Batch + place;
    }

    private void Work()
    {
        while (Take() is long item)
        {
            (long step, long place) = Math.DivRem(item, options.Batch);
            Slot slot = slots[step % slots.Length];
            ExceptionDispatchInfo? failure = null;
            try
            {
                Load(order.IndexAt(PositionOf(item)), slot.Images.AsMemory((int)place * set.Length, set.Length));
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }
            lock (gate)
            {
                slot.Loaded++;
                slot.Failure ??= failure;
                Monitor.PulseAll(gate);
            }
        }
    }

    /// <summary>The next item to load, once its step is near enough; null at the end.</summary>
    private long? Take()
    {
        lock (gate)
        {
            while (!stopping && nextItem / options.Batch >= Step + slots.Length) Monitor.Wait(gate);
            return stopping ? null : nextItem++;
        }
    }

    private void Load(int index, Memory<float> pixels)
    {
        for (int tries = 0; tries < set.Count; tries++, index = (index + 1) % set.Count)
        {
            int image = index;
            try
            {
                if (policy.TryRead(image, () => set.Load(image, pixels.Span))) return;
            }
            catch (Exception e) when (e is not FileFormatException)
            {
                throw new InvalidOperationException($"{set.NameOf(image)}: {e.Message}", e);
            }
        }
        throw policy.NoneLeft();
    }

    private sealed class Slot(int length)
    {
        public float[] Images { get; } = new float[length];

        /// <summary>Images that are loaded, or failed.</summary>
        public int Loaded { get; set; }

        public ExceptionDispatchInfo? Failure { get; set; }
    }
}

/// <summary>How a set is loaded.</summary>
/// <param name="Batch">b: images of a step in this process.</param>
public sealed record LoaderOptions(int Batch)
{
    /// <summary>Of the order.</summary>
    public uint Seed { get; init; }

    /// <summary>Whether each epoch has an order of its own; else images come as they are in the set.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Number of this process.</summary>
    public int Rank { get; init; }

    /// <summary>R: number of processes that share each step.</summary>
    public int World { get; init; } = 1;

    /// <summary>Threads that load. The result does not depend on it.</summary>
    public int Threads { get; init; } = 2;

    /// <summary>Steps that are loaded ahead.</summary>
    public int Ahead { get; init; } = 3;

    /// <summary>Whether an image that cannot be read is an error.</summary>
    public bool Strict { get; init; }

    /// <summary>Told once of each image that is skipped, from any thread.</summary>
    public Action<string>? Warn { get; init; }
}
