using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Tiles of one of attention's kernels, see <c>kernels/attention_tiles.cuh</c>.</summary>
/// <param name="Precision">Operands of the products.</param>
/// <param name="Head">Channels of a head.</param>
/// <param name="Warps">Warps of a block.</param>
/// <param name="RowTiles">16-row tiles that a warp owns.</param>
/// <param name="Stream">Rows of a streamed tile.</param>
/// <remarks>
/// The choice depends on shapes alone, not on the device, so that a device without a compiler finds what was compiled in
/// advance. All fit into the 99 KiB that every device of compute capability 8 and later gives a block.
/// </remarks>
internal sealed record AttentionTiling(Precision Precision, int Head, int Warps, int RowTiles, int Stream)
{
    private const int MaxHead = 128;

    // Blocks that fill a large device: below, smaller blocks use more of it.
    private const int FillingBlocks = 128;

    public bool UsesTensorCores => Precision != Precision.Fp32;

    /// <summary>Rows that a block owns.</summary>
    public int BlockRows => 16 * RowTiles * Warps;

    private int HeadPad => Padded(Precision, Head);

    private int ElementBytes => Precision is Precision.Bf16 or Precision.Fp16 ? 2 : 4;

    /// <summary>Two operations of a row tile need the same shared loads of keys and values: more rows, fewer loads.</summary>
    public static AttentionTiling Forward(Precision precision, int head, int positions, int heads, int images)
    {
        bool small = Padded(precision, head) <= 64;
        if (precision == Precision.Fp32) return new(precision, head, small ? 4 : 2, 1, 32);
        long largeBlocks = (positions + 127) / 128 * (long)heads * images;
        // A head of 128 channels leaves registers for one row tile, and in tf32 shared memory for 32 keys.
        return new(precision, head, 4, small && largeBlocks >= FillingBlocks ? 2 : 1, small || precision != Precision.Tf32 ? 64 : 32);
    }

    /// <summary>The tilings of the backward kernels own two matrices and stream two, in less memory for each.</summary>
    public static AttentionTiling Backward(Precision precision, int head)
    {
        bool small = Padded(precision, head) <= 64;
        return precision switch
        {
            Precision.Fp32 => small ? new(precision, head, 4, 1, 32) : new(precision, head, 2, 1, 16),
            Precision.Tf32 => small ? new(precision, head, 4, 1, 32) : new(precision, head, 2, 1, 16),
            Precision.Bf16 or Precision.Fp16 => new(precision, head, 4, 1, small ? 64 : 32),
            _ => throw GraphException.Unhandled(precision),
        };
    }

    /// <summary>Refuses what no tiling fits.</summary>
    /// <exception cref="GraphException">A head has more than 128 channels.</exception>
    public static void Require(Node node, int head)
    {
        if (head > MaxHead)
        {
            throw new GraphException(
                $"{node.Name}: the CUDA device attends with heads of up to {MaxHead} channels, found {head}; use more heads");
        }
    }

    /// <summary>States the tiling as macros.</summary>
    public LaunchBuilder Define(LaunchBuilder launch) => launch
        .Define("OPERAND_T", ConvForward.Compute(Precision))
        .Define("TENSOR_CORES", UsesTensorCores).Define("HEAD", Head)
        .Define("WARPS", Warps).Define("ROW_TILES", RowTiles).Define("STREAM", Stream);

    /// <summary>Grid over rows, heads and images.</summary>
    public Driver.Dim3 Grid(int positions, int heads, int images) => new((positions + BlockRows - 1) / BlockRows, heads, images);

    /// <summary>Bytes of so many matrices' tiles, and of what stores results by way of the same memory.</summary>
    /// <param name="streamed">Matrices that stream, in two stages each.</param>
    /// <param name="owned">Matrices whose owned rows stay in shared memory.</param>
    public int SharedBytes(int streamed, int owned)
    {
        int rows = 2 * streamed * Stream + owned * BlockRows;
        int exchange = UsesTensorCores ? 0 : 4 * 16 * Warps * ((Stream + 31) / 32 * 32 + 8);
        int store = 4 * BlockRows * (HeadPad + 8);
        return Math.Max(rows * (HeadPad * ElementBytes + 16) + exchange, store);
    }

    private static int Padded(Precision precision, int head) => precision == Precision.Fp32 ? (head + 31) / 32 * 32 : (head + 15) / 16 * 16;
}
