using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Launches;

/// <summary>A <see cref="FactorGroups"/> in device memory.</summary>
internal static class FactorTables
{
    /// <summary>[N + 1] int32: rows of trajectory n are starts[n] to starts[n + 1] - 1.</summary>
    public static DeviceRange UploadStarts(this LaunchContext context, FactorGroups groups)
    {
        int[] starts = new int[groups.Trajectories + 1];
        for (int n = 0; n < groups.Trajectories; n++) starts[n + 1] = starts[n] + groups.Counts[n];
        return context.Upload<int>(starts);
    }

    /// <summary>[R] float32.</summary>
    public static DeviceRange UploadWeights(this LaunchContext context, FactorGroups groups) => context.Upload<float>([.. groups.Weights]);
}
