using System.Text.Json;
using RawDiffusion.Formats;
using RawDiffusion.Formats.Images;

namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// A folder that <c>dataset make</c> wrote: pictures in <c>images</c>, in <c>masks</c> for each the masks of its objects side by
/// side, and what is in them in <c>attributes.json</c>.
/// </summary>
public sealed class MadeSet : ImageSet
{
    /// <summary>The file whose presence tells such a folder from one of pictures.</summary>
    public const string TableName = "attributes.json";

    private const int MaxTableBytes = 1 << 30;

    private readonly FileSet images;
    private readonly string[] masks;
    private readonly float[][] attributes;

    private MadeSet(string folder, FileSet images, Table table) : base(folder, images.Count, images.Size)
    {
        this.images = images;
        masks = [.. table.Names.Select(n => Path.Combine(folder, "masks", n))];
        (attributes, Objects, AttributeNames) = (table.Attributes, table.Objects, table.AttributeNames);
    }

    /// <inheritdoc/>
    public override string Identity => images.Identity;

    /// <inheritdoc/>
    public override string Content => images.Content;

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override IEnumerable<string> Files => [.. images.Files, .. masks, Path.Combine(Name, TableName)];

    /// <inheritdoc/>
    public override int Objects { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<string> AttributeNames { get; }

    /// <summary>Opens a folder.</summary>
    /// <param name="folder">The folder, which holds <see cref="TableName"/>.</param>
    /// <param name="size">S, which must be the size that the images were made with; null for that.</param>
    /// <exception cref="ArgumentException">It is not.</exception>
    /// <exception cref="FileFormatException">The table is damaged.</exception>
    public static MadeSet Open(string folder, int? size = null)
    {
        string path = Path.Combine(folder, TableName);
        Table table;
        try
        {
            using var json = JsonDocument.Parse(RegularFile.ReadAllBytes(path, MaxTableBytes));
            table = Table.Parse(json.RootElement);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new FileFormatException(
                $"{path}: expected a table that dataset make wrote, found something else ({e.Message}); make the set again", e);
        }
        if (size is int asked && asked != table.Size)
        {
            throw new ArgumentException(
                $"{folder} was made with images of {table.Size} x {table.Size} pixels: expected that size, found {asked}");
        }

        return new MadeSet(folder, new FileSet(folder, [.. table.Names.Select(n => Path.Combine(folder, "images", n))], table.Size), table);
    }

    /// <summary>Writes the table of a folder's images, whose files are called by their index.</summary>
    /// <param name="stream">Receives JSON.</param>
    /// <param name="set">Images to take batches from.</param>
    /// <param name="truths">What is in each.</param>
    public static void WriteTable(Stream stream, ImageSet set, IReadOnlyList<GroundTruth> truths)
    {
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteString("set", set.Identity);
        json.WriteNumber("size", set.Size);
        json.WriteNumber("objects", set.Objects);
        json.WriteStartArray("attributes");
        foreach (string name in set.AttributeNames) json.WriteStringValue(name);
        json.WriteEndArray();
        json.WriteStartArray("images");
        for (int i = 0; i < truths.Count; i++)
        {
            json.WriteStartObject();
            json.WriteString("file", FileName(i));
            json.WriteStartArray("objects");
            foreach (float[] row in truths[i].Attributes.Chunk(set.AttributeNames.Count))
            {
                json.WriteStartArray();
                foreach (float value in row) json.WriteNumberValue(value);
                json.WriteEndArray();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    /// <summary>What the files of an image are called.</summary>
    public static string FileName(int index) => $"{index:000000}.png";

    /// <inheritdoc/>
    public override void Load(int index, Span<float> pixels) => images.Load(index, pixels);

    /// <inheritdoc/>
    public override string NameOf(int index) => images.NameOf(index);

    /// <inheritdoc/>
    /// <exception cref="FileFormatException">The image of the masks is damaged, or of another size.</exception>
    public override GroundTruth TruthOf(int index)
    {
        Image image = ImageFile.Read(masks[index]);
        if ((image.Width, image.Height, image.Channels, image.BitDepth) != (Objects * Size, Size, 1, 8))
        {
            throw new FileFormatException($"{masks[index]}: expected {Objects} gray masks of {Size} x {Size} pixels side by side, found "
                + $"{image.Width} x {image.Height} pixels; make the set again");
        }

        float[] planes = new float[Objects * Size * Size];
        for (int i = 0; i < planes.Length; i++)
        {
            (int k, int pixel) = Math.DivRem(i, Size * Size);
            planes[i] = image.Samples[pixel / Size * image.Width + k * Size + pixel % Size] / 255f;
        }
        return new GroundTruth(planes, attributes[index]);
    }

    private sealed record Table(int Size, int Objects, string[] AttributeNames, string[] Names, float[][] Attributes)
    {
        // A table that asks for more is damaged.
        private const int MaxObjects = 1024;

        /// <exception cref="FormatException">Numbers do not fit together.</exception>
        public static Table Parse(JsonElement json)
        {
            JsonElement[] images = [.. json.GetProperty("images").EnumerateArray()];
            var table = new Table(
                json.GetProperty("size").GetInt32(),
                json.GetProperty("objects").GetInt32(),
                [.. json.GetProperty("attributes").EnumerateArray().Select(a => a.GetString() ?? "")],
                // Files are looked for in the folder alone, whatever the table says.
                [.. images.Select(i => Path.GetFileName(i.GetProperty("file").GetString() ?? ""))],
                [.. images.Select(i => i.GetProperty("objects").EnumerateArray()
                .SelectMany(o => o.EnumerateArray().Select(v => v.GetSingle())).ToArray())]);
            bool good = table is { Size: > 0 and <= MaxSize, Objects: > 0 and <= MaxObjects, Names.Length: > 0 } &&
                table.Attributes.All(a => a.Length == table.Objects * table.AttributeNames.Length);
            return good ? table : throw new FormatException("sizes and numbers do not fit together");
        }
    }
}
