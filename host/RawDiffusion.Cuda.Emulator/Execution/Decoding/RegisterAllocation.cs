using System.Numerics;
using RawDiffusion.Cuda.Emulator.Ptx;

namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>
/// Gives PTX's unlimited registers places in the register file by liveness and linear scan, so that a warp's registers stay
/// in the processor's cache. A result never takes the place of an operand of the same instruction. Lanes that diverged do
/// not disturb each other: writes are masked, and a lane needs only what is live on its own path.
/// </summary>
internal sealed class RegisterAllocation
{
    /// <summary>Offsets from here on: 0 means "none" for a second destination.</summary>
    private const int FirstPredicate = 4;
    private readonly IReadOnlyList<PtxInstruction> instructions;
    private readonly Dictionary<string, int> numbers = [];
    private readonly List<string> names = [];
    private readonly List<(int First, int End)> blocks;

    private RegisterAllocation(IReadOnlyList<PtxInstruction> instructions, List<(int First, int End)> blocks)
    {
        this.instructions = instructions;
        this.blocks = blocks;
    }

    /// <summary>Offset of each register in the register file.</summary>
    public Dictionary<string, int> Offsets { get; } = [];

    /// <summary>Bytes of the register file.</summary>
    public int Bytes { get; private set; }

    public static RegisterAllocation Allocate(
        IReadOnlyList<PtxInstruction> instructions, List<(
            int First, int End)> blocks, IReadOnlyDictionary<string, int> labels, IReadOnlyDictionary<string, PtxType> types)
    {
        var result = new RegisterAllocation(instructions, blocks);
        (int Start, int End)[] intervals = result.Intervals(labels);
        result.Scan(intervals, types);
        return result;
    }

    private int Number(string name)
    {
        if (!numbers.TryGetValue(name, out int number))
        {
            number = names.Count;
            numbers.Add(name, number);
            names.Add(name);
        }

        return number;
    }

    private (int Start, int End)[] Intervals(IReadOnlyDictionary<string, int> labels)
    {
        int[][] written = new int[instructions.Count][], read = new int[instructions.Count][];
        for (int i = 0; i < instructions.Count; i++)
        {
            written[i] = [.. ControlFlow.Written(instructions[i]).Select(Number)];
            read[i] = [.. ControlFlow.Read(instructions[i]).Select(Number)];
        }

        int words = (names.Count + 63) / 64;
        ulong[][] use = new ulong[blocks.Count][];
        ulong[][] define = new ulong[blocks.Count][];
        ulong[][] into = new ulong[blocks.Count][];
        ulong[][] outOf = new ulong[blocks.Count][];
        var blockAt = blocks.Select((b, i) => (b.First, i)).ToDictionary(b => b.First, b => b.i);
        for (int b = 0; b < blocks.Count; b++)
        {
            (use[b], define[b], into[b], outOf[b]) = (new ulong[words], new ulong[words], new ulong[words], new ulong[words]);
            for (int i = blocks[b].First; i < blocks[b].End; i++)
            {
                foreach (int r in read[i]) use[b][r >> 6] |= ~define[b][r >> 6] & (1ul << r);

                foreach (int r in written[i])
                {
                    // A guarded write keeps what other lanes hold.
                    if (instructions[i].Guard is null) define[b][r >> 6] |= 1ul << r;
                    else use[b][r >> 6] |= ~define[b][r >> 6] & (1ul << r);
                }
            }
        }

        bool changed = true;
        while (changed)
        {
            changed = false;
            for (int b = blocks.Count - 1; b >= 0; b--)
            {
                foreach (int next in ControlFlow.Successors(instructions, blocks, b, labels, blockAt))
                {
                    for (int w = 0; w < words; w++) outOf[b][w] |= into[next][w];
                }

                for (int w = 0; w < words; w++)
                {
                    ulong live = use[b][w] | (outOf[b][w] & ~define[b][w]);
                    changed |= live != into[b][w];
                    into[b][w] = live;
                }
            }
        }

        var intervals = new (int Start, int End)[names.Count];
        Array.Fill(intervals, (int.MaxValue, -1));
        for (int b = 0; b < blocks.Count; b++)
        {
            Extend(into[b], blocks[b].First);
            Extend(outOf[b], blocks[b].End - 1);
            for (int i = blocks[b].First; i < blocks[b].End; i++)
            {
                foreach (int r in read[i]) Touch(r, i);

                foreach (int r in written[i]) Touch(r, i);
            }
        }

        return intervals;

        void Touch(int r, int at) => intervals[r] = (Math.Min(intervals[r].Start, at), Math.Max(intervals[r].End, at));

        void Extend(ulong[] set, int at)
        {
            for (int w = 0; w < set.Length; w++)
            {
                for (ulong bits = set[w]; bits != 0; bits &= bits - 1)
                {
                    Touch((w * 64) + BitOperations.TrailingZeroCount(bits), at);
                }
            }
        }
    }

    private void Scan((int Start, int End)[] intervals, IReadOnlyDictionary<string, PtxType> types)
    {
        var classes = new SlotClass[] { new(), new(), new() };
        IOrderedEnumerable<int> order = Enumerable.Range(0, names.Count).Where(r => intervals[r].End >= 0).OrderBy(r => intervals[r].Start);
        int[] slots = new int[names.Count];
        foreach (int r in order)
        {
            slots[r] = classes[ClassOf(types[names[r]])].Take(intervals[r].Start, intervals[r].End);
        }

        int predicates = FirstPredicate;
        int singles = (predicates + (classes[0].Count * 4) + 63) & ~63;
        int doubles = singles + (classes[1].Count * 128);
        Bytes = doubles + (classes[2].Count * 256);
        for (int r = 0; r < names.Count; r++)
        {
            Offsets[names[r]] = ClassOf(types[names[r]]) switch
            {
                0 => predicates + (slots[r] * 4),
                1 => singles + (slots[r] * 128),
                _ => doubles + (slots[r] * 256),
            };
        }
    }

    private static int ClassOf(PtxType type) => type.Kind == PtxKind.Predicate ? 0 : type.Bits <= 32 ? 1 : 2;

    /// <summary>Places of one size.</summary>
    private sealed class SlotClass
    {
        private readonly PriorityQueue<int, int> busy = new();
        private readonly PriorityQueue<int, int> free = new();

        public int Count { get; private set; }

        public int Take(int start, int end)
        {
            while (busy.TryPeek(out int slot, out int until) && until < start)
            {
                busy.Dequeue();
                free.Enqueue(slot, slot);
            }

            int taken = free.Count > 0 ? free.Dequeue() : Count++;
            busy.Enqueue(taken, end);
            return taken;
        }
    }
}
