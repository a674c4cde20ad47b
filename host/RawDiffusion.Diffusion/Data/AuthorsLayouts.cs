namespace RawDiffusion.Diffusion.Data;

/// <summary>
/// The folders in which the authors keep their data, by name. Source: <c>image_datasets.py</c> of the reference implementation.
/// </summary>
public static class AuthorsLayouts
{
    private const string Clevr = "images_clevr/*.png";
    private const string CelebaHq = "celebahq/data128x128/*.jpg";
    private const string Kitti = "kitti_data_tracking_image_2/training/image_02/*/*.png";
    private const string VirtualKitti = "vkitti_2.0.3_rgb/*/*/frames/rgb/Camera_0/*.jpg";
    private const string Anime = "anime_portraits/*.jpg";

    /// <summary>How often <c>comb_kitti</c> has each real picture, as there are fewer of them than rendered ones.</summary>
    private const int KittiRepeats = 3;

    // im[:, 433:808]: the square middle of a picture of 375 x 1242 pixels.
    private static readonly ImageCrop Road = new(433, 0, 808 - 433, 0);

    /// <summary>Names that <see cref="Open"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } =
        ["clevr", "clevr_toy", "celebahq", "falcor3d", "kitti", "vkitti", "comb_kitti", "tetris", "anime", "faces"];

    /// <summary>Opens a data set.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="folder">The authors' <c>base_dir</c>, which holds the data sets' folders.</param>
    /// <param name="size">S, pixels a side.</param>
    /// <exception cref="ArgumentException">There is no such data set.</exception>
    /// <exception cref="IOException">It has no images there.</exception>
    public static FileSet Open(string name, string folder, int size)
    {
        var passedOver = new PassedOver();
        IReadOnlyList<string> files = name switch
        {
            "clevr" => Find(folder, name, Clevr, passedOver),
            "clevr_toy" => Find(folder, name, "clevr_toy/*.png", passedOver),
            "celebahq" => Find(folder, name, CelebaHq, passedOver),
            "falcor3d" => Find(folder, name, "Falcor3D_down128/images/*.png", passedOver),
            "kitti" => Find(folder, name, Kitti, passedOver),
            "vkitti" => Find(folder, name, VirtualKitti, passedOver),
            "comb_kitti" =>
            [
                .. Enumerable.Repeat(Find(folder, name, Kitti, passedOver), KittiRepeats).SelectMany(f => f),
                .. Find(folder, name, VirtualKitti, passedOver),
            ],
            "tetris" => Find(folder, name, "tetris_images_32/*.png", passedOver),
            "anime" => Find(folder, name, Anime, passedOver),
            "faces" => [.. Find(folder, name, CelebaHq, passedOver), .. Find(folder, name, Anime, passedOver)],
            _ => throw new ArgumentException($"expected a data set of the authors ({string.Join(", ", Names)}), found '{name}'"),
        };
        bool road = name is "kitti" or "vkitti" or "comb_kitti";
        return new FileSet(name, files, size, road ? Road : null) { PassedOver = passedOver };
    }

    /// <summary>Opens <c>faces</c> with a number of images, half of which are of each of its parts.</summary>
    /// <param name="folder">The authors' <c>base_dir</c>.</param>
    /// <param name="size">S, pixels a side.</param>
    /// <param name="count">Number of images, or null for all.</param>
    /// <exception cref="IOException">There are no images.</exception>
    public static FileSet OpenFaces(string folder, int size, int? count)
    {
        int each = count / 2 ?? int.MaxValue;
        var passedOver = new PassedOver();
        IEnumerable<string> files = Find(folder, "faces", CelebaHq, passedOver).Take(each)
            .Concat(Find(folder, "faces", Anime, passedOver).Take(each));
        return new FileSet("faces", [.. files], size) { PassedOver = passedOver };
    }

    private static IReadOnlyList<string> Find(string folder, string name, string pattern, PassedOver passedOver)
    {
        string path = Path.Combine(folder, pattern);
        IReadOnlyList<string> found = GlobPattern.Files(path, passedOver);
        return found.Count > 0 ? found
            : throw new IOException($"expected pictures of {name} at {path}, found none{FileSet.And(passedOver)}");
    }
}
