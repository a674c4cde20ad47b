using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>
/// Executes the pickle opcodes that build plain values and the few calls that <see cref="PickleGlobals"/> knows. It runs
/// no code: what calling any other global gives is a <see cref="PickleObject"/>, whose parts are dropped as they come.
/// Python's values become: None null, bool, int <see cref="long"/> or <see cref="BigInteger"/>, float
/// <see cref="double"/>, str <see cref="string"/>, bytes <c>byte[]</c>, tuple <c>object?[]</c>, list
/// <see cref="List{T}"/>, dict and OrderedDict <see cref="OrderedDictionary{TKey,TValue}"/>, set and frozenset
/// <see cref="HashSet{T}"/>. Tuples and bytes as keys are compared by reference: their hash could otherwise be made
/// exponentially expensive.
/// </summary>
/// <remarks>
/// The machine has no recursion and each opcode takes time in proportion to the bytes it read or the stack items it consumed. Of memory
/// it allocates at most <see cref="BytesAByte"/> bytes for each byte of the pickle and <see cref="FreeBytes"/> besides, garbage included:
/// a pickle that needs more is refused.
/// </remarks>
internal sealed class PickleMachine(PickleReader reader, PickleGlobals globals)
{
    /// <summary>Honest pickles take about 10.</summary>
    public const int BytesAByte = 32;

    public const int FreeBytes = 16 << 20;

    // Longer ones are passed over: to read or to print them takes time with the square of their length.
    private const int LongestInteger = 255;

    private static readonly object True = true, False = false;

    private readonly List<object?> stack = [];
    private readonly Stack<int> marks = new();
    private readonly List<object?> memo = [];

    /// <summary>Reads one pickle, up to and including its STOP.</summary>
    /// <exception cref="FileFormatException">The pickle is malformed or holds what is not supported.</exception>
    public object? Run()
    {
        long start = reader.Position, before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 1; ; i++)
        {
            if (i % 1024 == 0 && GC.GetAllocatedBytesForCurrentThread() - before > FreeBytes + BytesAByte * (reader.Position - start))
                throw reader.Error($"it makes values of more than {BytesAByte} times its own length");
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
            case 0x88: Push(True); break;
            case 0x89: Push(False); break;
            case (byte)'K': Push((long)reader.Byte()); break;
            case (byte)'M': Push((long)reader.UInt16()); break;
            case (byte)'J': Push((long)reader.Int32()); break;
            case 0x8a: Push(Integer(reader.Bytes(reader.Byte()))); break;
            case 0x8b:
                int length = reader.Int32();
                if (length <= LongestInteger)
                {
                    Push(Integer(reader.Bytes(length)));
                }
                else
                {
                    reader.Skip(length);
                    Push(new PickleObject($"an integer of {length} bytes"));
                }
                break;
            case (byte)'G': Push(reader.DoubleBigEndian()); break;
            case 0x8c: Push(reader.Utf8(reader.Byte())); break;
            case (byte)'X': Push(reader.Utf8(reader.Length32())); break;
            case 0x8d: Push(reader.Utf8(reader.Length64())); break;
            // Python 2's str: bytes that are almost always ASCII names.
            case (byte)'U': Push(Encoding.Latin1.GetString(reader.Bytes(reader.Byte()))); break;
            case (byte)'T': Push(Encoding.Latin1.GetString(reader.Bytes(reader.Int32()))); break;
            case (byte)'C': Push(reader.Bytes(reader.Byte())); break;
            case (byte)'B': Push(reader.Bytes(reader.Length32())); break;
            case 0x8e or 0x96: Push(reader.Bytes(reader.Length64())); break;
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
            case (byte)'}': Push(new PickleDictionary()); break;
            case (byte)'d': Push(SetItems(new PickleDictionary(), PopToMark())); break;
            case 0x8f: Push(new HashSet<object>(PickleKeyComparer.Instance)); break;
            case 0x91: Push(AddItems(new HashSet<object>(PickleKeyComparer.Instance), PopToMark())); break;
            case (byte)'a': Append([Pop()]); break;
            case (byte)'e': Append(PopToMark()); break;
            case (byte)'s': SetItems(PopMany(2)); break;
            case (byte)'u': SetItems(PopToMark()); break;
            case 0x90:
                object?[] items = PopToMark();
                if (Top<HashSet<object>>("a set") is { } set) AddItems(set, items);
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
            case (byte)'q': Memoise(reader.Byte()); break;
            case (byte)'r': Memoise(reader.Length32()); break;
            case 0x94: Memoise(memo.Count); break;
            case (byte)'h': Push(Recall(reader.Byte())); break;
            case (byte)'j': Push(Recall(reader.Length32())); break;
            case (byte)'c':
                string module = reader.Line();
                Push(PickleGlobals.Find(module, reader.Line()));
                break;
            case 0x93:
                object?[] names = PopMany(2);
                if (names is not [string space, string name]) throw reader.Error("a global's name is not a string");
                Push(PickleGlobals.Find(space, name));
                break;
            case (byte)'Q': Push(globals.Storage(Pop())); break;
            case (byte)'R' or 0x81:
                object?[] call = PopMany(2);
                Push(call switch
                {
                    [PickleGlobal function, object?[] arguments] => globals.Call(function, arguments),
                    [PickleObject, object?[]] => call[0],
                    _ => throw reader.Error("something other than a known global is called"),
                });
                break;
            case 0x92:
                object?[] made = PopMany(3);
                Push(new PickleObject($"{made[0]}"));
                break;
            case (byte)'b':
                // The attributes of an OrderedDict: torch.nn.Module.state_dict leaves its version numbers there.
                object? state = Pop();
                if (Peek() is PickleDictionary dictionary && state is OrderedDictionary<object, object?> attributes)
                    dictionary.Attributes = attributes;
                else if (Peek() is not (PickleObject or PickleGlobal or Tensor))
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

    private object? Pop()
    {
        object? top = Peek();
        stack.RemoveAt(stack.Count - 1);
        return top;
    }

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

    private object? Recall(long index) => index < memo.Count ? memo[(int)index] : throw reader.Error($"the memo has no entry {index}");

    // Entries come in order, but may begin at 1.
    private void Memoise(long index)
    {
        if (index > memo.Count + 1) throw reader.Error($"the memo's entry {index} does not follow {memo.Count} entries");
        if (index > memo.Count) memo.Add(null);
        if (index == memo.Count) memo.Add(Peek());
        else memo[(int)index] = Peek();
    }

    /// <summary>What items are added to; null for an object that is passed over.</summary>
    private T? Top<T>(string what) where T : class => Peek() switch
    {
        T found => found,
        PickleObject => null,
        _ => throw reader.Error($"items are added to something that is not {what}"),
    };

    private void Append(object?[] items) => Top<List<object?>>("a list")?.AddRange(items);

    private void SetItems(object?[] items)
    {
        if (Top<PickleDictionary>("a dict") is { } target) SetItems(target, items);
    }

    private PickleDictionary SetItems(PickleDictionary target, object?[] items)
    {
        if (items.Length % 2 != 0) throw reader.Error("a dict's keys and values do not pair up");
        for (int i = 0; i < items.Length; i += 2)
        {
            target[items[i] ?? PickleObject.None] = items[i + 1];
        }
        return target;
    }

    private HashSet<object> AddItems(HashSet<object> target, object?[] items)
    {
        foreach (object? item in items) target.Add(item ?? PickleObject.None);
        return target;
    }
}
