using System.Security.Cryptography;

namespace RawDiffusion.Formats.PyTorch;

/// <summary>
/// Compares keys of dicts and items of sets. The hash of numbers is keyed at random, as that of strings is: otherwise a
/// file could name numbers that all collide, and filling one dict would take hours.
/// </summary>
internal sealed class PickleKeyComparer : IEqualityComparer<object>
{
    public static readonly PickleKeyComparer Instance = new();

    private readonly ulong secret = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1;

    public new bool Equals(object? x, object? y) => object.Equals(x, y);

    public int GetHashCode(object key) => key switch
    {
        long integer => Mix((ulong)integer),
        double number => Mix(BitConverter.DoubleToUInt64Bits(number)),
        _ => key.GetHashCode(),
    };

    private int Mix(ulong bits) => (int)(bits * secret >> 32);
}
