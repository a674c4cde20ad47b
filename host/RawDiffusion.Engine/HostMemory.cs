using System.Globalization;
using System.Runtime.InteropServices;

namespace RawDiffusion.Engine;

/// <summary>There is not as much memory as was asked for. The message says how much and what for.</summary>
/// <param name="bytes">What was asked for.</param>
/// <param name="what">What it was for.</param>
public sealed class HostMemoryException(long bytes, string what)
    : OutOfMemoryException(string.Create(CultureInfo.InvariantCulture, $"there is no memory of {HostMemory.Text(bytes)} for {what}"));

/// <summary>Memory of this process beside the runtime's, and what limits it.</summary>
public static unsafe partial class HostMemory
{
    private const int AddressSpace = 9; // RLIMIT_AS of Linux
    private const long Unlimited = long.MaxValue >> 12 << 12; // as version 1 of control groups has it

    /// <summary>Zeroed memory, which <see cref="NativeMemory.Free"/> gives back.</summary>
    /// <param name="bytes">How much.</param>
    /// <param name="what">What for, as a noun.</param>
    /// <exception cref="HostMemoryException">There is none: the system refuses, or would end the process once the memory is
    /// used.</exception>
    public static void* AllocateZeroed(long bytes, string what)
    {
        if (bytes > ControlGroup) throw new HostMemoryException(bytes, what);
        try
        {
            return NativeMemory.AllocZeroed((nuint)bytes);
        }
        catch (OutOfMemoryException)
        {
            throw new HostMemoryException(bytes, what);
        }
    }

    /// <summary>
    /// What limits this process's memory: the least of the limit of addresses, that of its control groups, and what the machine has.
    /// </summary>
    /// <param name="ofHeap">Whether memory of .NET's heap was asked for, which has a limit of its own.</param>
    public static string Limit(bool ofHeap)
    {
        long heap = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        List<(long Bytes, string Text)> limits = [(Machine() ?? heap, "the machine has {0}")];
        if (ofHeap) limits.Add((heap, ".NET's heap (DOTNET_GCHeapHardLimit, or a part of the cgroup memory limit) has {0}"));
        if (ControlGroup is { } group) limits.Add((group, "this process's control group (cgroup memory limit) has {0}"));
        if (Addresses() is { } addresses)
            limits.Add((addresses, "'ulimit -v' gives this process {0} of addresses, and .NET's own runtime takes some of it"));
        (long bytes, string text) = limits.MinBy(l => l.Bytes);
        return string.Format(CultureInfo.InvariantCulture, text, Text(bytes));
    }

    /// <summary>A size for people.</summary>
    public static string Text(long bytes) => bytes >= 1L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:0.0} GiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB");

    /// <summary>The least limit of a process's control groups, of either version; null where there is none.</summary>
    /// <param name="groups">Lines of <c>/proc/self/cgroup</c>.</param>
    /// <param name="mounts">Where control groups are: <c>/sys/fs/cgroup</c>.</param>
    internal static long? ControlGroupLimit(IEnumerable<string> groups, string mounts)
    {
        long? least = null;
        foreach (string[] parts in groups.Select(line => line.Split(':', 3)).Where(p => p.Length == 3))
        {
            bool second = parts[1].Length == 0;
            if (!second && !parts[1].Split(',').Contains("memory")) continue;
            string root = second ? mounts : Path.Combine(mounts, "memory"), file = second ? "memory.max" : "memory.limit_in_bytes";
            // A group's limit holds for those below it. In a container the mount begins at its own group.
            for (string group = parts[2].Trim('/'); ; group = Path.GetDirectoryName(group) ?? "")
            {
                if (Number(Path.Combine(root, group, file)) is { } limit && limit < Unlimited && !(limit >= least)) least = limit;
                if (group.Length == 0) break;
            }
        }
        return least;
    }

    private static readonly long? ControlGroup = OperatingSystem.IsLinux() && File.Exists("/proc/self/cgroup")
        ? ControlGroupLimit(File.ReadAllLines("/proc/self/cgroup"), "/sys/fs/cgroup") : null;

    private static long? Machine()
    {
        if (!OperatingSystem.IsLinux()) return null;
        string[] total = File.ReadLines("/proc/meminfo").First(line => line.StartsWith("MemTotal:", StringComparison.Ordinal))
            .Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return 1024 * long.Parse(total[1], CultureInfo.InvariantCulture);
    }

    private static long? Number(string path)
    {
        try
        {
            return long.TryParse(File.ReadAllText(path), NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out long number)
                ? number : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static long? Addresses()
    {
        if (!OperatingSystem.IsLinux()) return null;
        ulong* limit = stackalloc ulong[2];
        return getrlimit(AddressSpace, limit) == 0 && limit[0] < long.MaxValue ? (long)limit[0] : null;
    }

    [LibraryImport("libc")]
    private static partial int getrlimit(int resource, ulong* limit);
}
