using System.Diagnostics;
using RawDiffusion.Diffusion.Data;
using RawDiffusion.Formats;

namespace RawDiffusion.Diffusion.Tests.Data;

[Parallelizable(ParallelScope.All)]
public sealed class ImageLoaderTests
{
    [Test]
    public void Each_epoch_has_every_image_once_in_an_order_of_its_own()
    {
        foreach (int count in Enumerable.Range(1, 70).Concat([1000, 4096, 65537]))
        {
            var order = new BatchOrder(count, 9, shuffle: true);
            int[] first = Epoch(order, 0, count), second = Epoch(order, 1, count);
            Assert.That(first.Order().SequenceEqual(Enumerable.Range(0, count)), $"{count} images");
            Assert.That(second.Order().SequenceEqual(Enumerable.Range(0, count)), $"{count} images");
            if (count > 6) Assert.That(first.SequenceEqual(second), Is.False, $"{count} images");
            if (count > 6) Assert.That(Epoch(new BatchOrder(count, 10, true), 0, count).SequenceEqual(first), Is.False, $"{count} images");
        }
    }

    [Test]
    public void Orders_are_as_even_as_chance()
    {
        // How often image i comes at place j of 20 epochs of 8: chi-squared with 49 degrees of freedom is below 100 but once in 25,000.
        int[,] counts = new int[8, 8];
        for (uint seed = 0; seed < 100; seed++)
        {
            var order = new BatchOrder(8, seed, shuffle: true);
            for (int position = 0; position < 160; position++) counts[position % 8, order.IndexAt(position)]++;
        }
        double chiSquared = counts.Cast<int>().Sum(c => (c - 250.0) * (c - 250.0) / 250.0);
        Assert.That(chiSquared, Is.InRange(15, 100));
    }

    [Test]
    public void Without_shuffling_images_come_in_order()
    {
        using var loader = new ImageLoader(new NumberedSet(5), new LoaderOptions(3) { Shuffle = false });
        Assert.That(Take(loader, 4), Is.EqualTo(new[] { 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1 }));
    }

    [TestCase(1, 1)]
    [TestCase(2, 3)]
    [TestCase(7, 9)]
    public void Threads_and_steps_ahead_do_not_change_the_images(int threads, int ahead)
    {
        var random = new Random(threads);
        using var set = new NumberedSet(23, _ => Thread.Sleep(random.Next(2)));
        using var loader = new ImageLoader(set, new LoaderOptions(4) { Seed = 3, Threads = threads, Ahead = ahead });
        var order = new BatchOrder(23, 3, shuffle: true);
        Assert.That(Take(loader, 30), Is.EqualTo(Enumerable.Range(0, 120).Select(p => order.IndexAt(p))));
    }

    [Test]
    public void A_run_that_goes_on_at_a_step_sees_what_it_would_have_seen()
    {
        using var set = new NumberedSet(11);
        using var whole = new ImageLoader(set, new LoaderOptions(3));
        using var rest = new ImageLoader(set, new LoaderOptions(3), step: 17);
        int[] all = Take(whole, 40);
        Assert.That(rest.IndicesOf(17), Is.EqualTo(all[51..54]));
        Assert.That(Take(rest, 23), Is.EqualTo(all[51..]));
        Assert.That(rest.Step, Is.EqualTo(40));
    }

    [TestCase(2, 3)]
    [TestCase(3, 1)]
    public void Processes_share_the_batch_that_one_would_have(int world, int batch)
    {
        using var set = new NumberedSet(13);
        using var one = new ImageLoader(set, new LoaderOptions(world * batch) { Seed = 4 });
        int[][] expected = [.. Take(one, 20).Chunk(world * batch)];
        int[][][] shares = [.. Enumerable.Range(0, world).Select(rank =>
        {
            using var loader = new ImageLoader(set, new LoaderOptions(batch) { Seed = 4, Rank = rank, World = world });
            return Take(loader, 20).Chunk(batch).ToArray();
        })];
        for (int step = 0; step < 20; step++) Assert.That(shares.SelectMany(s => s[step]), Is.EqualTo(expected[step]));
    }

    [Test]
    public void An_image_that_cannot_be_read_gives_way_to_the_next_and_is_counted_once()
    {
        List<string> warnings = [];
        using var set = new NumberedSet(6, index =>
        {
            if (index is 2 or 3) throw new FileFormatException("it is damaged");
        });
        using var loader = new ImageLoader(set, new LoaderOptions(2) { Shuffle = false, Threads = 1, Warn = warnings.Add });
        Assert.That(Take(loader, 6), Is.EqualTo(new[] { 0, 1, 4, 4, 4, 5, 0, 1, 4, 4, 4, 5 }));
        Assert.That(loader.Skipped, Is.EqualTo(2));
        Assert.That(warnings, Is.EqualTo(new[] { "number-2.png is skipped: it is damaged", "number-3.png is skipped: it is damaged" }));
    }

    [Test]
    public void Strictly_it_is_an_error_of_its_step_that_names_the_file()
    {
        using var set = new NumberedSet(6, index =>
        {
            if (index == 4) throw new IOException("it is gone");
        });
        using var loader = new ImageLoader(set, new LoaderOptions(2) { Shuffle = false, Strict = true });
        Assert.That(Take(loader, 2), Is.EqualTo(new[] { 0, 1, 2, 3 }));
        for (int i = 0; i < 2; i++)
        {
            Assert.That(Assert.Throws<FileFormatException>(() => Take(loader, 1))!.Message,
                Does.StartWith("number-4.png").And.Contain("it is gone"));
        }
    }

    [Test]
    public void A_set_without_a_readable_image_and_a_defect_are_errors()
    {
        using var none = new ImageLoader(new NumberedSet(3, _ => throw new FileFormatException("no")), new LoaderOptions(2));
        Assert.That(Assert.Throws<FileFormatException>(() => Take(none, 1))!.Message, Does.Contain("numbers: none of the 3 images"));
        using var defect = new ImageLoader(new NumberedSet(3, _ => throw new NullReferenceException("oh")), new LoaderOptions(2));
        Assert.That(Assert.Throws<InvalidOperationException>(() => Take(defect, 1))!.Message, Does.Contain("number-").And.Contain("oh"));
    }

    [Test]
    public void Waiting_is_measured_and_can_be_cancelled()
    {
        using var open = new ManualResetEventSlim();
        using var set = new NumberedSet(100, _ => open.Wait());
        using var loader = new ImageLoader(set, new LoaderOptions(2) { Ahead = 2 });
        using var cancellation = new CancellationTokenSource(50);
        Assert.Throws<OperationCanceledException>(() => loader.Next(new float[loader.Length], cancellation.Token));
        Assert.That(loader.Step, Is.Zero);
        var watch = Stopwatch.StartNew();
        Task.Delay(200).ContinueWith(_ => open.Set());
        Take(loader, 1);
        double first = loader.WaitedSeconds;
        Assert.That(first, Is.InRange(0.1, watch.Elapsed.TotalSeconds));
        // What is ahead is there, and not more than that.
        while (set.Loads < 6) Thread.Sleep(1);
        Thread.Sleep(50);
        Assert.That(set.Loads, Is.EqualTo(6));
        Take(loader, 1);
        Assert.That(loader.WaitedSeconds, Is.EqualTo(first));
    }

    [Test]
    public void Disposal_ends_the_threads()
    {
        using var set = new NumberedSet(100, _ => Thread.Sleep(1));
        var loader = new ImageLoader(set, new LoaderOptions(4) { Threads = 3, Ahead = 50 });
        Take(loader, 1);
        loader.Dispose();
        int loads = set.Loads;
        Thread.Sleep(30);
        Assert.That(set.Loads, Is.EqualTo(loads));
        Assert.Throws<ObjectDisposedException>(() => Take(loader, 1));
        loader.Dispose();
    }

    [Test]
    public void Numbers_out_of_range_are_refused()
    {
        using var set = new NumberedSet(3);
        Assert.Throws<ArgumentException>(() => new ImageLoader(set, new LoaderOptions(0)));
        Assert.Throws<ArgumentException>(() => new ImageLoader(set, new LoaderOptions(1) { Rank = 2, World = 2 }));
        Assert.Throws<ArgumentException>(() => new ImageLoader(set, new LoaderOptions(1) { Threads = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new ImageLoader(set, new LoaderOptions(1), step: -1));
        using var loader = new ImageLoader(set, new LoaderOptions(2));
        Assert.Throws<ArgumentException>(() => loader.Next(new float[loader.Length - 1]));
    }

    private static int[] Epoch(BatchOrder order, int epoch, int count) =>
        [.. Enumerable.Range(0, count).Select(i => order.IndexAt((long)epoch * count + i))];

    /// <summary>The numbers of the images of the next steps.</summary>
    private static int[] Take(ImageLoader loader, int steps)
    {
        List<int> numbers = [];
        float[] batch = new float[loader.Length];
        for (int i = 0; i < steps; i++)
        {
            loader.Next(batch);
            foreach (float[] image in batch.Chunk(12))
            {
                Assert.That(image, Is.All.EqualTo(image[0]), "an image is of one piece");
                numbers.Add((int)image[0]);
            }
        }
        return [.. numbers];
    }
}
