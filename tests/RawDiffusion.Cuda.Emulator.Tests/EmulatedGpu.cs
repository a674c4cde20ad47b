using System.Runtime.CompilerServices;
using System.Text;
using RawDiffusion.Cuda.Driver;
using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Tests;

/// <summary>An emulated device with one module, for tests.</summary>
internal sealed unsafe class EmulatedGpu : IDisposable
{
    private readonly nint module;

    public EmulatedGpu(string ptx, EmulatorOptions? options = null)
    {
        Driver = new EmulatedDriver(options ?? new EmulatorOptions { Collect = true });
        module = Driver.LoadModule(Encoding.UTF8.GetBytes(ptx));
    }

    public EmulatedDriver Driver { get; }

    public IReadOnlyList<Finding> Findings => Driver.Findings;

    /// <summary>A source with one kernel, which the emulator's findings call test.cu.</summary>
    public static EmulatedGpu Compile(string source, EmulatorOptions? options = null) => new(CompiledSource.Ptx(source), options);

    public ulong Upload<T>(params T[] values)
        where T : unmanaged
    {
        ulong address = Driver.Allocate((long)values.Length * sizeof(T));
        fixed (T* first = values)
        {
            Driver.CopyToDevice(address, (nint)first, (long)values.Length * sizeof(T), 0);
        }

        return address;
    }

    public ulong Allocate<T>(int count)
        where T : unmanaged => Driver.Allocate((long)count * sizeof(T));

    public T[] Download<T>(ulong address, int count)
        where T : unmanaged
    {
        var values = new T[count];
        fixed (T* first = values)
        {
            Driver.CopyToHost((nint)first, address, (long)count * sizeof(T), 0);
        }

        return values;
    }

    public void Launch(string kernel, LaunchGeometry geometry, params object[] arguments) =>
        Driver.Launch(Driver.GetFunction(module, kernel), geometry, Pack(arguments), 0);

    /// <summary>Arguments as C lays out a struct of them.</summary>
    public static byte[] Pack(params object[] arguments)
    {
        var bytes = new List<byte>();
        foreach (object argument in arguments)
        {
            byte[] value = argument switch
            {
                ulong v => BitConverter.GetBytes(v),
                long v => BitConverter.GetBytes(v),
                int v => BitConverter.GetBytes(v),
                uint v => BitConverter.GetBytes(v),
                float v => BitConverter.GetBytes(v),
                byte[] v => v,
                _ => throw new ArgumentException($"{argument.GetType()} is not packed"),
            };
            while (bytes.Count % Math.Min(value.Length, 8) != 0) bytes.Add(0);

            bytes.AddRange(value);
        }

        return [.. bytes];
    }

    public void Dispose() => Driver.Dispose();

    /// <summary>
    /// Runs one instruction per thread: operands <c>%a</c>, <c>%b</c>, <c>%c</c> (or the 64-bit <c>%la</c>, .. and the
    /// halves' <c>%ha</c>, ..) are loaded, <c>%d</c> (<c>%ld</c>, <c>%hd</c>) and the predicate <c>%p</c> are stored.
    /// </summary>
    public static TResult[] Apply<T, TResult>(string body, T[] a, T[]? b = null, T[]? c = null)
        where T : unmanaged
        where TResult : unmanaged
    {
        int count = a.Length;
        string load = Unsafe.SizeOf<T>() switch
        {
            8 => "ld.global.b64 %l{0}, [%address];",
            4 => "ld.global.b32 %{0}, [%address];",
            _ => "ld.global.b16 %h{0}, [%address];"
        };
        string store = Unsafe.SizeOf<TResult>() switch
        {
            8 => "st.global.b64 [%address], %ld;",
            4 => "st.global.b32 [%address], %d;",
            _ => "st.global.b16 [%address], %hd;"
        };
        var text = new StringBuilder(Ptx.Header + """
            .visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc, .param .u64 pd)
            {
            .reg .b32 %a, %b, %c, %d, %t; .reg .b64 %la, %lb, %lc, %ld, %address, %offset; .reg .b16 %ha, %hb, %hc, %hd; .reg .pred %p, %q;
            mov.u32 %t, %tid.x;

            """);
        foreach (char name in "abc")
        {
            text.AppendLine(System.Globalization.CultureInfo.InvariantCulture,
                $"ld.param.u64 %address, [p{name}]; mul.wide.u32 %offset, %t, {Unsafe.SizeOf<T>()}; add.s64 %address, %address, %offset; "
                + $"{string.Format(System.Globalization.CultureInfo.InvariantCulture, load, name)}");
        }

        text.AppendLine("mov.u32 %d, 0; mov.u64 %ld, 0; mov.u16 %hd, 0; setp.ne.u32 %p, %d, 0; setp.ne.u32 %q, %d, 0;");
        text.AppendLine(body);
        text.AppendLine(System.Globalization.CultureInfo.InvariantCulture,
            $"ld.param.u64 %address, [pd]; mul.wide.u32 %offset, %t, "
            + $"{Unsafe.SizeOf<TResult>()}; add.s64 %address, %address, %offset; {store} ret; }}");
        using var gpu = new EmulatedGpu(text.ToString(), new());
        ulong result = gpu.Allocate<TResult>(count);
        gpu.Launch("k", new(1, count), gpu.Upload(a), gpu.Upload(b ?? a), gpu.Upload(c ?? a), result);
        return gpu.Download<TResult>(result, count);
    }
}

/// <summary>Pieces of PTX text.</summary>
internal static class Ptx
{
    public const string Header = """
        .version 7.8
        .target sm_80
        .address_size 64

        """;

    public static T[] Repeat<T>(int count, Func<int, T> value) => [.. Enumerable.Range(0, count).Select(value)];
}
