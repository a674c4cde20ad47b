namespace RawDiffusion.Engine;

/// <summary>A graph was built or used wrongly; the message names the operator, the values and both shapes.</summary>
public sealed class GraphException(string message) : Exception(message)
{
    /// <summary>
    /// What a switch over an enumeration throws in its last arm, so that a new member, or a number that is none, is refused by all who
    /// do not know it instead of passing for another.
    /// </summary>
    /// <param name="value">What the switch has no case for.</param>
    public static GraphException Unhandled<TEnum>(TEnum value)
        where TEnum : struct, Enum =>
        new($"there is no case for {typeof(TEnum).Name} {value} here; expected one of {string.Join(", ", Enum.GetNames<TEnum>())} that is "
            + "implemented");
}
