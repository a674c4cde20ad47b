using System.Diagnostics;
namespace RawDiffusion.Cuda.Emulator.Execution.Instructions;

/// <summary>How a result that does not fit is rounded.</summary>
internal enum RoundingMode
{
    Nearest,
    Zero,
    Down,
    Up,

    /// <summary>Nearest, ties away from zero (rna).</summary>
    NearestAway,
}

internal interface IRounding
{
    static abstract RoundingMode Mode { get; }
}

/// <summary>Roundings that the processor does not do by itself, from an exact value given as a sum of two doubles.</summary>
internal static class Rounding
{
    public readonly struct TowardsZero : IRounding
    {
        public static RoundingMode Mode => RoundingMode.Zero;
    }

    public readonly struct Downwards : IRounding
    {
        public static RoundingMode Mode => RoundingMode.Down;
    }

    public readonly struct Upwards : IRounding
    {
        public static RoundingMode Mode => RoundingMode.Up;
    }

    /// <summary>high + low, |low| at most half a unit of high, to float32.</summary>
    public static float ToSingle(double high, double low, RoundingMode mode)
    {
        float nearest = (float)high;
        if (!double.IsFinite(high)) return nearest;

        if (float.IsInfinity(nearest))
        {
            bool away = mode switch
            {
                RoundingMode.Nearest => true,
                RoundingMode.Zero => false,
                RoundingMode.Down => high < 0,
                RoundingMode.Up => high > 0,
                _ => throw new UnreachableException($"there is no rounding {mode}"),
            };
            return away ? nearest : MathF.CopySign(float.MaxValue, nearest);
        }

        double error = high - nearest + low;
        if (mode == RoundingMode.Nearest) return low == 0 ? nearest : Untie(high, low, nearest, error);

        return mode switch
        {
            RoundingMode.Zero => (nearest > 0 && error < 0) || (nearest < 0 && error > 0)
                ? (nearest > 0 ? MathF.BitDecrement(nearest) : MathF.BitIncrement(nearest)) : nearest,
            RoundingMode.Down => error < 0 ? MathF.BitDecrement(nearest) : nearest,
            RoundingMode.Up => error > 0 ? MathF.BitIncrement(nearest) : nearest,
            _ => throw new UnreachableException($"there is no rounding {mode}"),
        };
    }

    // Rounding twice: where high stands exactly between two floats, low decides.
    private static float Untie(double high, double low, float nearest, double error)
    {
        float other = error > 0 ? MathF.BitIncrement(nearest) : error < 0 ? MathF.BitDecrement(nearest) : nearest;
        return Math.Abs(other - high - low) < Math.Abs(error) ? other : nearest;
    }

    /// <summary>a + b as a rounded sum and what rounding lost (Knuth).</summary>
    public static (double Sum, double Error) Add(double a, double b)
    {
        double sum = a + b;
        if (!double.IsFinite(sum)) return (sum, 0);

        double part = sum - a;
        return (sum, a - (sum - part) + (b - part));
    }

    /// <summary>high + low as one double whose last bit says whether something was lost: rounds right afterwards.</summary>
    public static double ToOdd(double high, double low)
    {
        long bits = BitConverter.DoubleToInt64Bits(high);
        if (low == 0 || !double.IsFinite(high) || (bits & 1) != 0) return high;

        return BitConverter.Int64BitsToDouble(low > 0 == high > 0 ? bits + 1 : bits - 1);
    }

    public static float Add(float a, float b, RoundingMode mode)
    {
        (double sum, double error) = Add((double)a, b);
        return sum == 0 && error == 0 && mode == RoundingMode.Down && (a != 0 || float.IsNegative(a) || float.IsNegative(b)) ? -0f
            : ToSingle(sum, error, mode);
    }

    public static float Multiply(float a, float b, RoundingMode mode) => ToSingle((double)a * b, 0, mode);

    public static float MultiplyAdd(float a, float b, float c, RoundingMode mode)
    {
        double product = (double)a * b;
        (double sum, double error) = Add(product, c);
        return sum == 0 && error == 0 && mode == RoundingMode.Down && (product != 0 || double.IsNegative(product) || float.IsNegative(c))
            ? -0f : ToSingle(sum, error, mode);
    }

    public static float Divide(float a, float b, RoundingMode mode)
    {
        double quotient = (double)a / b;
        double rest = double.IsFinite(quotient) && float.IsFinite(b) ? Math.FusedMultiplyAdd(-quotient, b, a) / b : 0;
        return ToSingle(quotient, rest, mode);
    }

    public static float SquareRoot(float a, RoundingMode mode)
    {
        double root = Math.Sqrt(a);
        double rest = double.IsFinite(root) && root > 0 ? Math.FusedMultiplyAdd(-root, root, a) / (2 * root) : 0;
        return ToSingle(root, rest, mode);
    }
}
