namespace RawDiffusion.Formats;

/// <summary>The checksum of PNG chunks, zip entries and packed images (ISO 3309, polynomial 0xEDB88320 reflected).</summary>
public static class Crc32
{
    private static readonly uint[] Table = MakeTable();

    /// <summary>The checksum of the bytes, or of bytes that continue those a previous call took.</summary>
    public static uint Of(ReadOnlySpan<byte> bytes, uint previous = 0)
    {
        uint crc = ~previous;
        foreach (byte b in bytes) crc = Table[(byte)(crc ^ b)] ^ (crc >> 8);
        return ~crc;
    }

    private static uint[] MakeTable()
    {
        uint[] table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint value = i;
            for (int bit = 0; bit < 8; bit++) value = (value & 1) != 0 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
            table[i] = value;
        }
        return table;
    }
}
