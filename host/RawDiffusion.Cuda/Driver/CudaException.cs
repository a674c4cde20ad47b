namespace RawDiffusion.Cuda.Driver;

/// <summary>A call that the driver or the compiler refused.</summary>
/// <param name="call">Entry point and subject: <c>cuLaunchKernel(group_norm_backward_x)</c>.</param>
/// <param name="result">The driver's name for the error: <c>INVALID_VALUE</c>.</param>
/// <param name="details">What was given, and what to do.</param>
public sealed class CudaException(string call, string result, string details = "")
    : Exception($"{call} -> {result}{(details.Length > 0 ? "; " + details : "")}")
{
    /// <summary>The driver's name for the error.</summary>
    public string Result => result;
}
