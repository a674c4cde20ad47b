namespace RawDiffusion.Diffusion.Data.Procedural;

/// <summary>
/// Three tetromino pieces that do not overlap, on black: one reddish, one greenish, one bluish, each in any of the 19 fixed
/// forms (7 pieces as they can be turned). The image is a board of 8 x 8 cells.
/// </summary>
internal sealed class Tetris(ProceduralOptions options) : ProceduralSet("tetris", options, defaultSize: 32)
{
    private const int Pieces = 3;
    private const int BoardCells = 8;

    /// <summary>Places between two cells at which a piece may lie: with 1, pieces lie on cells.</summary>
    private const int StepsPerCell = 1;

    private static readonly (int X, int Y)[][] Forms = AllForms();

    private readonly int cell = CellOf(options.Size ?? 32);

    /// <inheritdoc/>
    public override int Objects => Pieces;

    /// <inheritdoc/>
    public override IReadOnlyList<string> AttributeNames { get; } = ["form", "x", "y", "red", "green", "blue"];

    private protected override void Paint(Draws draws, Scene scene)
    {
        while (!TryPaint(draws, scene))
        {
            // The third piece found no place: the board is cleared and all are drawn again.
            Array.Clear(scene.Pixels);
            Array.Clear(scene.Masks);
        }
    }

    private bool TryPaint(Draws draws, Scene scene)
    {
        bool[] taken = new bool[Size * Size];
        for (int k = 0; k < Pieces; k++)
        {
            int form = draws.Below(Forms.Length);
            (int X, int Y)[] cells = Forms[form];
            int width = cell * (1 + cells.Max(c => c.X)), height = cell * (1 + cells.Max(c => c.Y)), step = cell / StepsPerCell;
            List<(int X, int Y)> places = [];
            for (int y = 0; y <= Size - height; y += step)
            {
                for (int x = 0; x <= Size - width; x += step)
                {
                    if (!Pixels(cells, x, y).Any(p => taken[p])) places.Add((x, y));
                }
            }
            if (places.Count == 0) return false;
            (int left, int top) = places[draws.Below(places.Count)];
            var colour = Colour.Draw(draws, k, Pieces);
            foreach (int pixel in Pixels(cells, left, top))
            {
                taken[pixel] = true;
                scene.Paint(k, pixel, 1, colour);
            }
            scene.Describe(k, form, left + width / 2f, top + height / 2f, colour.Red, colour.Green, colour.Blue);
        }
        return true;
    }

    private IEnumerable<int> Pixels((int X, int Y)[] cells, int left, int top)
    {
        foreach ((int x, int y) in cells)
        {
            for (int i = 0; i < cell * cell; i++) yield return (top + cell * y + i / cell) * Size + left + cell * x + i % cell;
        }
    }

    private static int CellOf(int size) => size % (BoardCells * StepsPerCell) == 0
        ? size / BoardCells
        : throw new ArgumentException($"tetris is a board of {BoardCells} x {BoardCells} cells: expected a size that is a multiple of "
        + $"{BoardCells * StepsPerCell}, found {size}");

    /// <summary>The forms of I, O, T, S, Z, L, J in this order, each turned by quarters as often as that gives another form.</summary>
    private static (int X, int Y)[][] AllForms()
    {
        (int X, int Y)[][] pieces =
        [
            [(0, 0), (1, 0), (2, 0), (3, 0)],
            [(0, 0), (1, 0), (0, 1), (1, 1)],
            [(0, 0), (1, 0), (2, 0), (1, 1)],
            [(1, 0), (2, 0), (0, 1), (1, 1)],
            [(0, 0), (1, 0), (1, 1), (2, 1)],
            [(0, 0), (1, 0), (2, 0), (0, 1)],
            [(0, 0), (1, 0), (2, 0), (2, 1)],
        ];
        List<(int X, int Y)[]> forms = [];
        foreach ((int X, int Y)[] piece in pieces)
        {
            (int X, int Y)[] form = piece;
            do
            {
                forms.Add(form);
                int height = form.Max(c => c.Y);
                form = [.. form.Select(c => (height - c.Y, c.X)).Order()];
            }
            while (!forms.Any(f => f.Order().SequenceEqual(form)));
        }
        return [.. forms];
    }
}
