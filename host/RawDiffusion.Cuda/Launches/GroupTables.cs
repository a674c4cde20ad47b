using RawDiffusion.Engine;

namespace RawDiffusion.Cuda.Launches;

/// <summary>A <see cref="RowGroups"/> in device memory.</summary>
internal static class GroupTables
{
    /// <summary>[N + 1] int32: rows of group n are starts[n] to starts[n + 1] - 1.</summary>
    public static DeviceRange UploadStarts(this LaunchContext context, RowGroups groups)
    {
        int[] starts = new int[groups.Count + 1];
        for (int n = 0; n < groups.Count; n++) starts[n + 1] = starts[n] + groups.Counts[n];
        return context.Upload<int>(starts);
    }

    /// <summary>[R] float32.</summary>
    public static DeviceRange UploadWeights(this LaunchContext context, RowGroups groups) => context.Upload<float>([.. groups.Weights]);
}
