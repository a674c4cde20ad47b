namespace RawDiffusion.Formats;

/// <summary>
/// A file is not what its reader needs. The message is one line: what was expected, what was found, what to do.
/// The readers of this library throw no other exception for a file's content.
/// </summary>
public sealed class FileFormatException(string message, Exception? inner = null) : Exception(message, inner);
