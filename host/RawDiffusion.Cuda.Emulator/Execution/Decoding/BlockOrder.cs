namespace RawDiffusion.Cuda.Emulator.Execution.Decoding;

/// <summary>
/// The order by which diverged groups of lanes take turns: the group at the first block runs. So that groups meet again
/// where their paths join, as the assembler arranges it on hardware, a join must come after both paths and what follows a
/// loop after all of the loop, wherever the compiler put them: reverse postorder of a depth-first walk that visits the ways
/// out of loops first.
/// </summary>
internal static class BlockOrder
{
    /// <summary>All blocks in order, those that nothing reaches last.</summary>
    public static int[] Of(int[][] successors)
    {
        int[] plain = ReversePostorder(successors, (_, _) => 0);
        List<HashSet<int>> loops = Loops(successors, plain);
        int[] order = ReversePostorder(successors, (from, to) => loops.Count(l => l.Contains(from) && !l.Contains(to)));
        return [.. order, .. Enumerable.Range(0, successors.Length).Except(order)];
    }

    private static int[] ReversePostorder(int[][] successors, Func<int, int, int> exits)
    {
        var result = new List<int>();
        bool[] seen = new bool[successors.Length];
        var stack = new Stack<(int Block, Queue<int> Ways)>();
        Enter(0);
        while (stack.Count > 0)
        {
            (int block, Queue<int>? ways) = stack.Peek();
            if (ways.TryDequeue(out int next))
            {
                if (!seen[next]) Enter(next);
            }
            else
            {
                stack.Pop();
                result.Add(block);
            }
        }

        result.Reverse();
        return [.. result];

        void Enter(int block)
        {
            seen[block] = true;
            stack.Push((block, new(successors[block].OrderByDescending(s => exits(block, s)))));
        }
    }

    /// <summary>The natural loops, those with the same head as one.</summary>
    private static List<HashSet<int>> Loops(int[][] successors, int[] order)
    {
        int[] number = new int[successors.Length];
        Array.Fill(number, -1);
        for (int i = 0; i < order.Length; i++) number[order[i]] = i;

        var predecessors = new List<int>[successors.Length];
        for (int b = 0; b < successors.Length; b++) predecessors[b] = [];

        foreach (int b in order)
        {
            foreach (int s in successors[b]) predecessors[s].Add(b);
        }

        int[] dominator = Dominators(order, number, predecessors);
        var loops = new Dictionary<int, HashSet<int>>();
        foreach (int tail in order)
        {
            foreach (int head in successors[tail])
            {
                if (Dominates(head, tail))
                {
                    if (!loops.TryGetValue(head, out HashSet<int>? loop)) loops.Add(head, loop = [head]);

                    Collect(loop, tail);
                }
            }
        }

        return [.. loops.Values];

        bool Dominates(int head, int block)
        {
            while (number[block] > number[head]) block = dominator[block];

            return block == head;
        }

        void Collect(HashSet<int> loop, int tail)
        {
            var work = new Stack<int>([tail]);
            while (work.TryPop(out int block))
            {
                if (loop.Add(block))
                {
                    foreach (int p in predecessors[block]) work.Push(p);
                }
            }
        }
    }

    /// <summary>Immediate dominators (Cooper, Harvey, Kennedy: "A simple, fast dominance algorithm").</summary>
    private static int[] Dominators(int[] order, int[] number, List<int>[] predecessors)
    {
        int[] dominator = new int[number.Length];
        Array.Fill(dominator, -1);
        dominator[order[0]] = order[0];
        bool changed = true;
        while (changed)
        {
            changed = false;
            foreach (int block in order.Skip(1))
            {
                int found = -1;
                foreach (int p in predecessors[block])
                {
                    if (dominator[p] >= 0) found = found < 0 ? p : Meet(p, found);
                }

                changed |= dominator[block] != found;
                dominator[block] = found;
            }
        }

        return dominator;

        int Meet(int a, int b)
        {
            while (a != b)
            {
                while (number[a] > number[b]) a = dominator[a];

                while (number[b] > number[a]) b = dominator[b];
            }

            return a;
        }
    }
}
