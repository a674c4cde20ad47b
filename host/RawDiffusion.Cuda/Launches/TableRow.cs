using RawDiffusion.Engine;
using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>Launches of <c>kernels/table_row.cu</c>.</summary>
internal sealed class TableRowLaunch : OperatorLaunch<TableRow>
{
    protected override void Prepare(Node node, TableRow op, LaunchContext context)
    {
        Storage table = context.StorageOf(node.Input(TableRow.Table)), y = context.StorageOf(node.Output);
        int count = Elementwise.Count(node.Output), rows = node.Input(TableRow.Table).Shape[0];
        int width = (int)(node.Input(TableRow.Table).Shape.Count / rows);
        context.Kernel("table_row.cu", "table_row_forward")
            .Type("T_T", table).Type("Y_T", y)
            .Read(node.Input(TableRow.Table)).Read(node.Input(TableRow.Step)).Write(node.Output)
            .Extent("ROWS", rows).Extent("WIDTH", width).Extent("COUNT", count)
            .LaunchElementwise(count, Elementwise.Vector(width, table, y));
    }
}
