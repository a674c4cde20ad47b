using System.Text.Json;
using RawDiffusion.Engine;
using RawDiffusion.Formats;

namespace RawDiffusion.Cli.Output;

/// <summary>A timeline of kernels in the Trace Event Format, which chrome://tracing and Perfetto open.</summary>
internal static class ChromeTrace
{
    /// <summary>Writes a file with one slice for each kernel, one after the other.</summary>
    /// <param name="path">File to write.</param>
    /// <param name="device">Name of the process in the viewer.</param>
    /// <param name="kernels">Kernels in order of execution.</param>
    public static void Write(string path, string device, IEnumerable<KernelTime> kernels) => AtomicFile.Write(path, stream =>
    {
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("displayTimeUnit", "ns");
        json.WriteStartArray("traceEvents");
        json.WriteStartObject();
        json.WriteString("name", "process_name");
        json.WriteString("ph", "M");
        json.WriteNumber("pid", 1);
        json.WriteStartObject("args");
        json.WriteString("name", device);
        json.WriteEndObject();
        json.WriteEndObject();
        double start = 0;
        foreach (KernelTime kernel in kernels)
        {
            json.WriteStartObject();
            json.WriteString("name", kernel.Name);
            json.WriteString("cat", kernel.Kernel);
            json.WriteString("ph", "X");
            json.WriteNumber("pid", 1);
            json.WriteNumber("tid", 1);
            json.WriteNumber("ts", start * 1e6);
            json.WriteNumber("dur", kernel.Seconds * 1e6);
            json.WriteStartObject("args");
            json.WriteString("kernel", kernel.Kernel);
            json.WriteNumber("flops", kernel.Cost.Flops);
            json.WriteNumber("bytes", kernel.Cost.Bytes);
            json.WriteEndObject();
            json.WriteEndObject();
            start += kernel.Seconds;
        }
        json.WriteEndArray();
        json.WriteEndObject();
    });
}
