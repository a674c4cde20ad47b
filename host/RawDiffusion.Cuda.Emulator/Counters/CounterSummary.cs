using RawDiffusion.Cuda.Emulator.Execution;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Counters;

/// <summary>Makes a launch's counters of what its workers counted.</summary>
internal static unsafe class CounterSummary
{
    public static KernelCounters Of(KernelCode kernel, long blocks, IReadOnlyList<RunCounters> workers, Rates rates)
    {
        long[] work = new long[Enum.GetValues<Work>().Length];
        long[] runs = new long[kernel.OperationCount];
        long warpInstructions = 0;
        for (int b = 0; b < kernel.BlockCount; b++)
        {
            long times = workers.Sum(w => w.BlockRuns[b]), lanes = workers.Sum(w => w.BlockLanes[b]);
            for (int i = kernel.Blocks[b].First; i <= kernel.Blocks[b].ExitIndex; i++)
            {
                warpInstructions += times;
                runs[i] = times;
                work[(int)kernel.Operations[i].Work] += lanes * kernel.Operations[i].Weight;
            }
        }

        var result = new KernelCounters
        {
            Kernel = kernel.Name,
            Blocks = blocks,
            WarpInstructions = warpInstructions,
            Float32Operations = work[(int)Work.Float32],
            Float16Operations = work[(int)Work.Float16],
            Float64Operations = work[(int)Work.Float64],
            IntegerOperations = work[(int)Work.Integer],
            TranscendentalOperations = work[(int)Work.Transcendental],
            Conversions = work[(int)Work.Conversion],
            UniqueGlobalBytes = workers.Sum(w => w.FreshBytes),
            Barriers = workers.Sum(w => w.Barriers),
            DivergentBranches = workers.Sum(w => w.Divergences),
        };
        result = AddMemory(result, kernel, workers);
        result = AddMatrix(result, kernel, runs);
        return Bound(result, rates);
    }

    private static KernelCounters AddMemory(KernelCounters result, KernelCode kernel, IReadOnlyList<RunCounters> workers)
    {
        Traffic loads = default, stores = default, shared = default, local = default;
        long atomics = 0;
        var lines = new Dictionary<(SourceLocation, string, bool), Traffic>();
        for (int i = 0; i < kernel.OperationCount; i++)
        {
            if (kernel.Operations[i].Work != Work.Memory) continue;

            var traffic = new Traffic(
                Sum(RunCounters.Requests), Sum(RunCounters.Transactions), Sum(RunCounters.Ideal), Sum(RunCounters.Bytes));
            if (traffic.Requests == 0) continue;

            string mnemonic = kernel.Mnemonics[i];
            bool inShared = mnemonic.StartsWith("ldmatrix", StringComparison.Ordinal)
                || (mnemonic.Contains(".shared", StringComparison.Ordinal) && !mnemonic.StartsWith("cp", StringComparison.Ordinal));
            if (mnemonic.StartsWith("atom", StringComparison.Ordinal) || mnemonic.StartsWith("red", StringComparison.Ordinal))
            {
                atomics += traffic.Transactions;
                continue;
            }

            if (mnemonic.Contains(".local", StringComparison.Ordinal) || mnemonic.Contains(".param", StringComparison.Ordinal))
            {
                local += traffic;
                continue;
            }

            shared += inShared ? traffic : default;
            loads += !inShared && !mnemonic.StartsWith("st", StringComparison.Ordinal) ? traffic : default;
            stores += !inShared && mnemonic.StartsWith("st", StringComparison.Ordinal) ? traffic : default;
            (SourceLocation, string mnemonic, bool inShared) key = (kernel.Locations[i], mnemonic, inShared);
            lines[key] = lines.GetValueOrDefault(key) + traffic;

            long Sum(int what) => workers.Sum(w => w.Operations[(i * RunCounters.PerOperation) + what]);
        }

        return result with
        {
            GlobalLoads = loads,
            GlobalStores = stores,
            Shared = shared,
            Local = local,
            Atomics = atomics,
            Lines = [.. lines.Select(l => new LineTraffic(l.Key.Item1, l.Key.Item2, l.Key.Item3, l.Value))
            .OrderByDescending(l => l.Traffic.Transactions - l.Traffic.Ideal)],
        };
    }

    private static KernelCounters AddMatrix(KernelCounters result, KernelCode kernel, long[] runs)
    {
        long instructions = 0;
        MatrixOperations matrix = default;
        for (int i = 0; i < kernel.OperationCount; i++)
        {
            Operation* op = kernel.Operations + i;
            if (op->Work != Work.Matrix) continue;

            instructions += runs[i];
            long operations = runs[i] * op->Immediate;
            string mnemonic = kernel.Mnemonics[i];
            matrix += mnemonic.Contains("tf32", StringComparison.Ordinal) ? new(0, 0, operations, 0)
                : mnemonic.Contains("8.", StringComparison.Ordinal) && mnemonic.Contains(".s32", StringComparison.Ordinal)
                ? new(0, 0, 0, operations)
                : op->Y != 0 ? new(0, operations, 0, 0) : new(operations, 0, 0, 0);
        }

        return result with { MatrixInstructions = instructions, Matrix = matrix };
    }

    /// <summary>The largest of the times that each unit needs if nothing else takes any, plus the launch.</summary>
    private static KernelCounters Bound(KernelCounters c, Rates rates)
    {
        // Fewer blocks than multiprocessors leave some idle.
        double used = Math.Min(rates.Multiprocessors, Math.Max(1, c.Blocks));
        double clocks = used * rates.ClockHz;
        double share = used / rates.Multiprocessors;
        double tensor = (c.Matrix.Half / rates.MatrixHalfPerSecond) + (c.Matrix.HalfAccumulator / rates.MatrixHalfAccumulatorPerSecond)
            + (c.Matrix.TensorFloat / rates.MatrixTensorFloatPerSecond) + (c.Matrix.Integer / rates.MatrixIntegerPerSecond);
        (string Name, double Seconds)[] limits =
        [
            ("float32", c.Float32Operations / (rates.Float32PerClock * clocks)),
            ("integer", c.IntegerOperations / (rates.IntegerPerClock * clocks)),
            ("float16", c.Float16Operations / (rates.Float16PerClock * clocks)),
            ("float64", c.Float64Operations / (rates.Float64PerClock * clocks)),
            ("special", c.TranscendentalOperations / (rates.TranscendentalPerClock * clocks)),
            ("tensor", tensor / share),
            ("shared", c.Shared.Transactions / (rates.WavefrontsPerClock * clocks)),
            ("issue", c.WarpInstructions / (rates.IssuesPerClock * clocks)),
            ("L2", 32.0 * (c.GlobalLoads.Transactions + c.GlobalStores.Transactions + c.Atomics) / (
            rates.CacheBytesPerClock * rates.ClockHz)),
            ("memory", c.UniqueGlobalBytes / rates.MemoryBytesPerSecond),
        ];
        (string name, double seconds) = limits.MaxBy(l => l.Seconds);
        return c with { BoundSeconds = seconds + rates.LaunchSeconds, Limit = seconds < rates.LaunchSeconds ? "launch" : name };
    }
}
