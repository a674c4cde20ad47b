using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>
/// Executes the pickle opcodes that build plain values and the few calls that <see cref="PickleGlobals"/> knows. It runs
/// no code: a global that is not known is refused by name before anything is called.
/// Python's values become: None null, bool, int <see cref="long"/> or <see cref="BigInteger"/>, float
/// <see cref="double"/>, str <see cref="string"/>, bytes <c>byte[]</c>, tuple <c>object?[]</c>, list
/// <see cref="List{T}"/>, dict and OrderedDict <see cref="OrderedDictionary{TKey,TValue}"/>, set and frozenset
/// <see cref="HashSet{T}"/>. Tuples and bytes as keys are compared by reference: their hash could otherwise be made
/// exponentially expensive.
/// </summary>
/// <remarks>
/// The machine has no recursion, and each opcode allocates in proportion to the bytes it read or the stack items it
/// consumed, so memory is bounded by a multiple of the pickle's length; calls that copy a memoised value are bounded by
/// <see cref="PickleGlobals"/>.
/// </remarks>
internal sealed class PickleMachine(PickleReader reader, PickleGlobals globals)
{
    private readonly List<object?> stack = [];
    private readonly Stack<int> marks = new();
    private readonly Dictionary<long, object?> memo = [];

    /// <summary>Reads one pickle, up to and including its STOP.</summary>
    /// <exception cref="FileFormatException">The pickle is malformed or holds what is not supported.</exception>
    public object? Run()
    {
        while (true)
        {
            byte code = reader.Byte();
            if (code == '.') return Pop();
            if (!Value(code) && !Container(code) && !Machinery(code))
                throw reader.Error($"the opcode 0x{code:x2} is not supported");
        }
    }

    private bool Value(byte code)
    {
        switch (code)
        {
            case (byte)'N': Push(null); break;
            case 0x88: Push(true); break;
            case 0x89: Push(false); break;
            case (byte)'K': Push((long)reader.Byte()); break;
            case (byte)'M': Push((long)reader.UInt16()); break;
            case (byte)'J': Push((long)reader.Int32()); break;
            case 0x8a: Push(Integer(reader.Bytes(reader.Byte()))); break;
            case 0x8b: Push(Integer(reader.Bytes(reader.Int32()))); break;
            case (byte)'G': Push(reader.DoubleBigEndian()); break;
            case 0x8c: Push(reader.Utf8(reader.Byte())); break;
            case (byte)'X': Push(reader.Utf8(reader.Length32())); break;
            case 0x8d: Push(reader.Utf8(reader.Length64())); break;
            // Python 2's str: bytes that are almost always ASCII names.
            case (byte)'U': Push(Encoding.Latin1.GetString(reader.Bytes(reader.Byte()))); break;
            case (byte)'T': Push(Encoding.Latin1.GetString(reader.Bytes(reader.Int32()))); break;
            case (byte)'C': Push(reader.Bytes(reader.Byte())); break;
            case (byte)'B': Push(reader.Bytes(reader.Length32())); break;
            case 0x8e: Push(reader.Bytes(reader.Length64())); break;
            default: return false;
        }
        return true;
    }

    private bool Container(byte code)
    {
        switch (code)
        {
            case (byte)')': Push(Array.Empty<object?>()); break;
            case 0x85: Push(PopMany(1)); break;
            case 0x86: Push(PopMany(2)); break;
            case 0x87: Push(PopMany(3)); break;
            case (byte)'t': Push(PopToMark()); break;
            case (byte)']': Push(new List<object?>()); break;
            case (byte)'l': Push(new List<object?>(PopToMark())); break;
            case (byte)'}': Push(new OrderedDictionary<object, object?>(PickleKeyComparer.Instance)); break;
            case (byte)'d': Push(SetItems(new OrderedDictionary<object, object?>(PickleKeyComparer.Instance), PopToMark())); break;
            case 0x8f: Push(new HashSet<object>(PickleKeyComparer.Instance)); break;
            case 0x91: Push(AddItems(new HashSet<object>(PickleKeyComparer.Instance), PopToMark())); break;
            case (byte)'a': Append([Pop()]); break;
            case (byte)'e': Append(PopToMark()); break;
            case (byte)'s': SetItems(PopMany(2)); break;
            case (byte)'u': SetItems(PopToMark()); break;
            case 0x90:
                object?[] items = PopToMark();
                AddItems(Top<HashSet<object>>("a set"), items);
                break;
            default: return false;
        }
        return true;
    }

    private bool Machinery(byte code)
    {
        switch (code)
        {
            case 0x80:
                byte protocol = reader.Byte();
                if (protocol > 5) throw reader.Error($"pickle protocol {protocol} is newer than 5");
                break;
            case 0x95: reader.Length64(); break;
            case (byte)'(': marks.Push(stack.Count); break;
            case (byte)'0': Pop(); break;
            case (byte)'1': PopToMark(); break;
            case (byte)'2': Push(Peek()); break;
            case (byte)'q': memo[reader.Byte()] = Peek(); break;
            case (byte)'r': memo[reader.Length32()] = Peek(); break;
            case 0x94: memo[memo.Count] = Peek(); break;
            case (byte)'h': Push(Recall(reader.Byte())); break;
            case (byte)'j': Push(Recall(reader.Length32())); break;
            case (byte)'c':
                string module = reader.Line();
                Push(globals.Find(module, reader.Line()));
                break;
            case 0x93:
                object?[] names = PopMany(2);
                if (names is not [string space, string name]) throw reader.Error("a global's name is not a string");
                Push(globals.Find(space, name));
                break;
            case (byte)'Q': Push(globals.Storage(Pop())); break;
            case (byte)'R':
                object?[] call = PopMany(2);
                if (call is not [PickleGlobal function, object?[] arguments]) throw reader.Error("something other than a known global is called");
                Push(globals.Call(function, arguments));
                break;
            case (byte)'b':
                // The attributes of an OrderedDict: torch.nn.Module.state_dict leaves its version numbers there.
                object? state = Pop();
                if (Peek() is not OrderedDictionary<object, object?> || state is not OrderedDictionary<object, object?>)
                    throw reader.Error("an object other than an OrderedDict has attributes");
                break;
            default: return false;
        }
        return true;
    }

    private static object Integer(byte[] littleEndian)
    {
        var value = new BigInteger(littleEndian);
        return value >= long.MinValue && value <= long.MaxValue ? (object)(long)value : value;
    }

    private void Push(object? value) => stack.Add(value);

    /// <summary>The number of items below the innermost mark, which no opcode but those that end the mark may take.</summary>
    private int Floor => marks.TryPeek(out int mark) ? mark : 0;

    private object? Pop() => PopMany(1)[0];

    private object?[] PopMany(int count)
    {
        int first = stack.Count - count;
        if (first < Floor) throw reader.Error("the stack is empty where a value is needed");
        object?[] items = CollectionsMarshal.AsSpan(stack)[first..].ToArray();
        stack.RemoveRange(first, count);
        return items;
    }

    private object? Peek() => stack.Count > Floor ? stack[^1] : throw reader.Error("the stack is empty where a value is needed");

    private object?[] PopToMark()
    {
        if (!marks.TryPop(out int mark)) throw reader.Error("a mark is missing");
        object?[] items = CollectionsMarshal.AsSpan(stack)[mark..].ToArray();
        stack.RemoveRange(mark, items.Length);
        return items;
    }

    private object? Recall(long index) => memo.TryGetValue(index, out object? value) ? value : throw reader.Error($"the memo has no entry {index}");

    private T Top<T>(string what) where T : class => Peek() as T ?? throw reader.Error($"items are added to something that is not {what}");

    private void Append(object?[] items) => Top<List<object?>>("a list").AddRange(items);

    private void SetItems(object?[] items) => SetItems(Top<OrderedDictionary<object, object?>>("a dict"), items);

    private OrderedDictionary<object, object?> SetItems(OrderedDictionary<object, object?> target, object?[] items)
    {
        if (items.Length % 2 != 0) throw reader.Error("a dict's keys and values do not pair up");
        for (int i = 0; i < items.Length; i += 2)
        {
            target[items[i] ?? throw reader.Error("None as a dict's key is not supported")] = items[i + 1];
        }
        return target;
    }

    private HashSet<object> AddItems(HashSet<object> target, object?[] items)
    {
        foreach (object? item in items) target.Add(item ?? throw reader.Error("None in a set is not supported"));
        return target;
    }
}
