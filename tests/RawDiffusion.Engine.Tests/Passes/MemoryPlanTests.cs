using FsCheck;
using FsCheck.Fluent;
using RawDiffusion.Engine.Operators;
using RawDiffusion.Engine.Passes;
using RawDiffusion.Engine.Tests.Contract;
using RawDiffusion.Testing;

namespace RawDiffusion.Engine.Tests.Passes;

public sealed class MemoryPlanTests
{
    [Test]
    public void Networks_compute_the_same_in_shared_memory() =>
        PassContract.CheckNetworks(g => g, PassContract.Plain with { ReuseMemory = true });

    [Test]
    public void Networks_compute_the_same_in_memory_of_their_own() =>
        PassContract.CheckNetworks(g => g, new CompileOptions { ReuseMemory = false });

    [Test]
    public void Sharing_takes_less_memory()
    {
        for (int seed = 0; seed < 10; seed++)
        {
            Graph graph = new RandomNetwork(seed).Graph;
            Assert.That(MemoryPlan.Of(graph).ArenaBytes, Is.LessThan(MemoryPlan.Of(graph, reuse: false).ArenaBytes / 2));
        }
    }

    /// <summary>
    /// Runs random graphs on an arena of labels instead of numbers: each element of each value has a label of its own,
    /// and each node must find its inputs' labels whole.
    /// </summary>
    [Test]
    public void No_value_is_overwritten_before_its_last_reader([Values] bool reuse)
    {
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed => new LabelledRun(RandomGraph(new Random(seed)), reuse).Check())
            .Check(Config.QuickThrowOnFailure.WithMaxTest(1000));
    }

    /// <summary>The same graphs on a device, with sharing and without, over several runs.</summary>
    [Test]
    public void States_evolve_alike_with_shared_memory_and_without()
    {
        Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed =>
        {
            Graph graph = RandomGraph(new Random(seed));
            Evolve(graph, new CompileOptions(), PassContract.Plain);
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(200));
    }

    [Test]
    public void Two_states_swap()
    {
        var g = new Graph();
        Value a = State(g, "a", 1), b = State(g, "b", 2);
        g.Assign(a, b);
        g.Assign(b, a);
        RequireStates(g, ("a", 2), ("b", 1));
    }

    [Test]
    public void A_delay_line_moves_by_one_whatever_the_order_of_the_updates([Values] bool forwards)
    {
        var g = new Graph();
        Value a = State(g, "a", 1), b = State(g, "b", 2), c = State(g, "c", 3);
        Value next = g.Add(a, a);
        (Value, Value)[] updates = [(a, next), (b, a), (c, g.Reshape(b, [1, 1]))];
        foreach ((Value state, Value value) in forwards ? updates : updates.Reverse())
            g.Assign(state, value.Shape == state.Shape ? value : g.Reshape(value, state.Shape));
        RequireStates(g, ("a", 2), ("b", 1), ("c", 2));
    }

    [Test]
    public void A_state_is_read_through_a_view_after_its_next_value_is_known()
    {
        var g = new Graph();
        Value s = State(g, "s", 3);
        Value view = g.Reshape(s, [1, 1]);
        Value next = g.Add(g.Input("one", [1]), g.Input("two", [1]));
        g.Output("y", g.Add(view, view));
        g.Assign(s, next);
        using IExecutable executable = PassContract.Device.Compile(g);
        executable.Write("one", [1f]);
        executable.Write("two", [2f]);
        executable.Write("s", [5f]);
        executable.Run();
        Assert.That((Read(executable, "y"), Read(executable, "s")), Is.EqualTo((10f, 3f)));
    }

    [Test]
    public void A_next_value_can_be_read_later_and_given_out()
    {
        var g = new Graph();
        Value s = State(g, "s", 3);
        Value next = g.Add(s, s);
        g.Output("next", next);
        g.Output("y", g.Add(next, g.Relu(next)));
        g.Assign(s, next);
        RequireStates(g, ("s", 6), ("next", 6), ("y", 12));
    }

    [Test]
    public void Two_states_can_become_the_same_value()
    {
        var g = new Graph();
        Value a = State(g, "a", 3), b = State(g, "b", 4);
        Value sum = g.Add(a, b);
        g.Assign(a, sum);
        g.Assign(b, sum);
        RequireStates(g, ("a", 7), ("b", 7));
    }

    [Test]
    public void A_state_can_become_an_input_a_constant_and_itself()
    {
        var g = new Graph();
        g.Assign(State(g, "a", 1), g.Input("in", [1]));
        g.Assign(State(g, "b", 2), g.Constant("c", [1], [9]));
        Value self = State(g, "self", 4);
        g.Assign(self, self);
        RequireStates(g, ("a", 0), ("b", 9), ("self", 4));
    }

    [Test]
    public void Packed_values_are_computed_in_their_places([Values] bool reuse)
    {
        var layout = new ParameterLayout([("a", [3]), ("b", [5]), ("c", [7])]);
        var g = new Graph();
        // Relu could write over its input, and lies in the pack instead; a view and an input cannot.
        Value a = g.Relu(g.Silu(g.Input("x", [3]))), b = g.View(g.Silu(g.Input("y", [6])), [5], 1), c = g.Input("c", [7]);
        Value first = g.Pack(layout, [a, b, c]), second = g.Pack(layout, [a, b, c]);
        g.Output("first", first);
        g.Output("second", second);
        var plan = MemoryPlan.Of(g, reuse);
        Assert.That(plan.Offset(a) == plan.Offset(first), Is.EqualTo(reuse));
        Assert.That(plan.Offset(b), Is.Not.EqualTo(plan.Offset(first) + 4 * layout.Parameters[1].Offset));
        Assert.That(plan.Offset(b), Is.EqualTo(plan.Offset(b.Producer!.Input(0)) + 4));
        Assert.That(plan.Offset(c), Is.Not.EqualTo(plan.Offset(first) + 4 * layout.Parameters[2].Offset));
        Assert.That(plan.Offset(second), Is.Not.EqualTo(plan.Offset(first)));
    }

    [Test]
    public void A_value_that_is_stored_otherwise_is_not_computed_in_its_place()
    {
        var layout = new ParameterLayout([("a", [3]), ("b", [5])]);
        var g = new Graph();
        Value a = g.Silu(g.Input("x", [3])), b = g.Silu(g.Input("y", [5])), pack = g.Pack(layout, [a, b]);
        g.Output("pack", pack);
        var plan = MemoryPlan.Of(g, elementBytes: v => v == b ? 2 : 4);
        Assert.That(plan.Offset(a), Is.EqualTo(plan.Offset(pack)));
        Assert.That(plan.Offset(b), Is.GreaterThanOrEqualTo(plan.Offset(pack) + 4 * pack.Shape.Count).Or.LessThan(plan.Offset(pack)));
    }

    [Test]
    public void Foreign_and_wrong_assignments_are_refused()
    {
        var g = new Graph();
        Value s = g.State("s", [2]), x = g.Input("x", [3]), foreign = new Graph().Input("foreign", [2]);
        Assert.That(Assert.Throws<GraphException>(() => g.Assign(s, x))!.Message, Does.Contain("s [2]").And.Contain("x [3]"));
        Assert.That(Assert.Throws<GraphException>(() => g.Assign(x, x))!.Message, Does.Contain("x [3]"));
        Assert.That(Assert.Throws<GraphException>(() => g.Assign(s, foreign))!.Message, Does.Contain("foreign [2]"));
        Assert.That(Assert.Throws<GraphException>(() => g.Output("y", foreign))!.Message, Does.Contain("foreign [2]"));
        g.Assign(s, g.Silu(s));
        Assert.That(Assert.Throws<GraphException>(() => g.Assign(s, s))!.Message, Does.Contain("twice"));
    }

    private static Value State(Graph g, string name, float initial) => g.State(name, [1], initial: d => d.Fill(initial));

    private static float Read(IExecutable executable, string name)
    {
        float[] value = new float[1];
        executable.Read(name, value);
        return value[0];
    }

    private static void RequireStates(Graph g, params (string Name, float Value)[] expected)
    {
        foreach (bool reuse in (bool[])[true, false])
        {
            using IExecutable executable = PassContract.Device.Compile(g, new CompileOptions { ReuseMemory = reuse });
            executable.Run();
            foreach ((string name, float value) in expected)
                Assert.That(Read(executable, name), Is.EqualTo(value), $"{name}, reuse {reuse}");
        }
    }

    private static void Evolve(Graph graph, CompileOptions first, CompileOptions second)
    {
        using IExecutable a = PassContract.Device.Compile(graph, first), b = PassContract.Device.Compile(graph, second);
        for (int run = 0; run < 3; run++)
        {
            foreach (Value input in graph.Inputs.Values.Where(v => v.Kind == ValueKind.Input))
            {
                float[] data = [.. Enumerable.Range(0, (int)input.Shape.Count).Select(i => MathF.Sin(i + run + input.Id))];
                a.Write(input.Name, data);
                b.Write(input.Name, data);
            }
            a.Run();
            b.Run();
            foreach (string name in graph.Outputs.Keys.Concat(graph.Inputs.Keys))
            {
                Value value = graph.Outputs.TryGetValue(name, out Value? output) ? output : graph.Inputs[name];
                // What a state was is gone once the run has updated it.
                if (value.Kind == ValueKind.State && graph.Outputs.ContainsKey(name)) continue;
                float[] x = new float[value.Shape.Count], y = new float[value.Shape.Count];
                a.Read(name, x);
                b.Read(name, y);
                Comparer.RequireClose($"run {run}, {name}", [y.Length], y, [x.Length], x, Tolerances.Of("Pass", Precision.Float32));
            }
        }
    }

    // Pointwise operators, views, packs and parts of them, and states, read in any order.
    private static Graph RandomGraph(Random random)
    {
        var g = new Graph();
        Shape[] shapes = [[4, 6], [24], [2, 12]];
        var values = new List<Value>();
        var states = new List<Value>();
        for (int i = random.Next(1, 3); i > 0; i--) values.Add(g.Input($"in{i}", shapes[random.Next(3)]));
        for (int i = random.Next(0, 4); i > 0; i--)
        {
            int fill = i;
            states.Add(g.State($"state{i}", shapes[random.Next(3)], initial: d => d.Fill(0.1f * fill)));
        }
        values.AddRange(states);
        if (random.Next(3) == 0) values.Add(g.Constant("c", [24], [.. Enumerable.Range(0, 24).Select(i => 0.01f * i)]));
        Value Pick() => values[random.Next(2) == 0 ? random.Next(values.Count) : Math.Max(0, values.Count - 1 - random.Next(3))];
        Value As(Value v, Shape shape) => v.Shape == shape ? v : g.Reshape(v, shape);
        Value Packed(Value a, Value b)
        {
            var layout = new ParameterLayout([("a", a.Shape), ("b", b.Shape)]);
            return g.View(g.Pack(layout, [a, b]), shapes[random.Next(3)], layout.Parameters[random.Next(2)].Offset);
        }
        for (int i = random.Next(1, 14); i > 0; i--)
        {
            Value a = Pick();
            values.Add(random.Next(6) switch
            {
                0 => g.Relu(a),
                1 => g.Add(a, As(Pick(), a.Shape)),
                2 => g.Silu(a),
                3 => g.Reshape(a, shapes[random.Next(3)]),
                4 => Packed(a, Pick()),
                _ => g.Silu(g.Reshape(g.Linear(
                As(a, [4, 6]), g.Constant("w", [6, 6], [.. Enumerable.Range(0, 36).Select(k => 0.2f * MathF.Cos(k))]), null), a.Shape)),
            });
        }
        foreach (Value state in states)
            if (random.Next(4) > 0) g.Assign(state, As(Pick(), state.Shape));
        for (int i = random.Next(1, 3); i > 0; i--) g.Output($"out{i}", Pick());
        return RemoveDead.Apply(g);
    }

    /// <summary>
    /// One run of a plan on labels. The label of a value's element is (value, index) of what it was first; views and packs show
    /// the labels of what they are of, and elements between packed values show anything.
    /// </summary>
    private sealed class LabelledRun(Graph graph, bool reuse)
    {
        private static readonly (int Value, int Index) Anything = (-1, -1);

        private readonly MemoryPlan plan = MemoryPlan.Of(graph, reuse);

        public bool Check()
        {
            var arena = new (int Value, int Index)[plan.ArenaBytes / 4];
            foreach (Value input in graph.Inputs.Values) Put(arena, input, Labels(input));
            foreach (Node node in graph.Nodes)
            {
                foreach (Value input in node.Inputs.OfType<Value>()) Require(arena, input, $"input {input} of {node}");
                if (node.Operator is Pack pack) Move(arena, node, pack);
                else if (node.Operator is not View) Put(arena, node.Output, Labels(node.Output));
                Require(arena, node.Output, $"output of {node}");
            }
            Dictionary<Value, (int, int)[]> expected = graph.Updates.ToDictionary(u => u.State, u => Labels(u.Next));
            var swapped = plan.Swaps.Select(s => (s.State, Found: Take(arena, s.Next))).ToList();
            foreach ((Value state, Value next) in plan.Copies) Put(arena, state, Take(arena, next));
            foreach ((Value state, (int, int)[] found) in swapped) Put(arena, state, found);
            foreach ((Value state, (int, int)[] labels) in expected) Require(arena, state, labels, $"update of {state}");
            foreach (Value output in graph.Outputs.Values.Where(o => !ShowsState(o))) Require(arena, output, $"output {output}");
            return true;
        }

        private static bool ShowsState(Value value) =>
            value.Kind == ValueKind.State || value.Producer is { Operator: View } view && ShowsState(view.Input(0));

        private static (int Value, int Index)[] Labels(Value value)
        {
            if (value.Producer is { Operator: View view } viewed)
                return Labels(viewed.Input(0)).AsSpan((int)view.Offset, (int)value.Shape.Count).ToArray();
            if (value.Producer is not { Operator: Pack pack } packed)
                return [.. Enumerable.Range(0, (int)value.Shape.Count).Select(i => (value.Id, i))];
            var labels = new (int, int)[value.Shape.Count];
            Array.Fill(labels, Anything);
            for (int i = 0; i < packed.Inputs.Count; i++) Labels(packed.Input(i)).CopyTo(labels, pack.Layout.Parameters[i].Offset);
            return labels;
        }

        // Copies what is not there already, as devices do.
        private void Move((int Value, int Index)[] arena, Node node, Pack pack)
        {
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                long destination = plan.Offset(node.Output) / 4 + pack.Layout.Parameters[i].Offset;
                Take(arena, node.Input(i)).CopyTo(arena, destination);
            }
        }

        private static bool Constant(Value value) => value.Kind == ValueKind.Constant || value.Producer is { Operator: View } view
            && Constant(view.Input(0));

        private (int Value, int Index)[] Take((int Value, int Index)[] arena, Value value) => Constant(value)
            ? Labels(value)
            : arena[(int)(plan.Offset(value) / 4)..(int)(plan.Offset(value) / 4 + value.Shape.Count)];

        private void Put((int Value, int Index)[] arena, Value value, (int, int)[] labels) => labels.CopyTo(arena, plan.Offset(value) / 4);

        private void Require((int Value, int Index)[] arena, Value value, string what) => Require(arena, value, Labels(value), what);

        private void Require((int Value, int Index)[] arena, Value value, (int, int)[] labels, string what)
        {
            (int Value, int Index)[] found = Take(arena, value);
            for (int i = 0; i < found.Length; i++)
            {
                if (labels[i] != Anything && found[i] != labels[i])
                {
                    throw new AssertionException($"{what}: element {i} shows {found[i]}, not "
                        + $"{labels[i]}\n{string.Join("\n", graph.Nodes)}\nupdates {string.Join(", ", graph.Updates)}");
                }
            }
        }
    }
}
