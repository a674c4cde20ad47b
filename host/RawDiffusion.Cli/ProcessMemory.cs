using System.Diagnostics;
using System.Globalization;

namespace RawDiffusion.Cli;

/// <summary>Memory of this process as the system counts it.</summary>
internal static class ProcessMemory
{
    /// <summary>Bytes of physical memory at the peak: Linux's VmHWM, elsewhere the peak working set.</summary>
    public static long Peak()
    {
        if (OperatingSystem.IsLinux())
        {
            foreach (string line in File.ReadLines("/proc/self/status"))
            {
                if (!line.StartsWith("VmHWM:", StringComparison.Ordinal)) continue;
                string kib = line["VmHWM:".Length..].Replace("kB", "", StringComparison.Ordinal).Trim();
                return 1024 * long.Parse(kib, CultureInfo.InvariantCulture);
            }
        }
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
