using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;

namespace RawDiffusion.Cuda.Compilation;

/// <summary>The kernels' source files, by name.</summary>
public sealed partial class KernelSources
{
    private const string ResourcePrefix = "kernels/";

    private readonly IReadOnlyDictionary<string, string> files;

    /// <summary>Sources from memory, for kernels that do not ship with the project.</summary>
    /// <param name="files">Content by name: <c>group_norm.cu</c>.</param>
    public KernelSources(IReadOnlyDictionary<string, string> files) => this.files = files;

    /// <summary>The sources that travel in this assembly: the folder <c>kernels</c> at the time of the build.</summary>
    public static KernelSources Embedded { get; } = new(ReadResources());

    /// <summary>Names of all files, sorted.</summary>
    public IEnumerable<string> Names => files.Keys.Order(StringComparer.Ordinal);

    /// <summary>Content of a file.</summary>
    /// <exception cref="KernelCompileException">There is no such file.</exception>
    public string this[string name] => files.TryGetValue(name, out string? content) ? content
        : throw new KernelCompileException($"there is no kernel source {name}; there are {string.Join(", ", Names)}");

    /// <summary>What a file includes with quotes, directly or not: each file once, in the order in which they are met.</summary>
    /// <exception cref="KernelCompileException">A file that is included does not exist.</exception>
    public IReadOnlyList<(string Name, string Content)> Headers(string name)
    {
        List<(string Name, string Content)> headers = [];
        Visit(this[name], name);
        return headers;

        void Visit(string content, string from)
        {
            foreach (Match match in Include().Matches(content))
            {
                string header = match.Groups[1].Value;
                if (headers.Any(h => h.Name == header)) continue;
                if (!files.TryGetValue(header, out string? text))
                {
                    throw new KernelCompileException(
                        $"{from} includes \"{header}\", which is none of the kernel sources {string.Join(", ", Names)}");
                }

                headers.Add((header, text));
                Visit(text, header);
            }
        }
    }

    [GeneratedRegex("""^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"[^\n]*$""", RegexOptions.Multiline)]
    private static partial Regex Include();

    private static Dictionary<string, string> ReadResources()
    {
        Assembly assembly = typeof(KernelSources).Assembly;
        return assembly.GetManifestResourceNames()
            .Where(r => r.StartsWith(ResourcePrefix, StringComparison.Ordinal)
            && (r.EndsWith(".cu", StringComparison.Ordinal) || r.EndsWith(".cuh", StringComparison.Ordinal)))
            .ToDictionary(r => r[ResourcePrefix.Length..], r =>
            {
                using var reader = new StreamReader(assembly.GetManifestResourceStream(r)!, Encoding.UTF8);
                return reader.ReadToEnd().ReplaceLineEndings("\n"); // so that a checkout with other line ends has the same keys
            });
    }
}
