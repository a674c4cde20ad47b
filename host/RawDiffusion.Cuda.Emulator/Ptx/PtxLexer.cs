using System.Globalization;

namespace RawDiffusion.Cuda.Emulator.Ptx;

internal enum TokenKind
{
    /// <summary>Name, opcode with its modifiers, directive, or register.</summary>
    Word,
    Integer,
    Single,
    Double,
    Text,
    Punctuation,
    End,
}

/// <summary>One token with the line of the PTX text that it stands on.</summary>
internal readonly record struct Token(TokenKind Kind, string Text, long Value, int Line)
{
    public bool Is(char punctuation) => Kind == TokenKind.Punctuation && Text[0] == punctuation;

    public bool Is(string word) => Kind == TokenKind.Word && Text == word;
}

/// <summary>Cuts PTX text into tokens; comments vanish.</summary>
internal static class PtxLexer
{
    public static List<Token> Tokenize(string text)
    {
        var tokens = new List<Token>(text.Length / 4);
        int at = 0, line = 1;
        while (at < text.Length)
        {
            char c = text[at];
            if (c == '\n')
            {
                line++;
                at++;
            }
            else if (char.IsWhiteSpace(c) || c == '\0')
            {
                at++;
            }
            else if (c == '/' && at + 1 < text.Length && text[at + 1] == '/')
            {
                while (at < text.Length && text[at] != '\n') at++;
            }
            else if (c == '/' && at + 1 < text.Length && text[at + 1] == '*')
            {
                int end = text.IndexOf("*/", at + 2, StringComparison.Ordinal);
                end = end < 0 ? throw new PtxException(line, "a comment has no end") : end + 2;
                line += text.AsSpan(at, end - at).Count('\n');
                at = end;
            }
            else if (c == '"')
            {
                int end = text.IndexOf('"', at + 1);
                if (end < 0) throw new PtxException(line, "a string has no end");

                tokens.Add(new(TokenKind.Text, text[(at + 1)..end], 0, line));
                at = end + 1;
            }
            else if (char.IsAsciiDigit(c))
            {
                at = Number(text, at, line, tokens);
            }
            else if (IsWord(c))
            {
                int start = at++;
                while (at < text.Length && (IsWord(text[at]) || char.IsAsciiDigit(text[at]) || IsScope(text, at)))
                {
                    at += text[at] == ':' ? 2 : 1;
                }

                tokens.Add(new(TokenKind.Word, text[start..at], 0, line));
            }
            else
            {
                tokens.Add(new(TokenKind.Punctuation, c.ToString(), 0, line));
                at++;
            }
        }

        tokens.Add(new(TokenKind.End, "", 0, line));
        return tokens;
    }

    private static bool IsWord(char c) => char.IsAsciiLetter(c) || c is '_' or '$' or '%' or '.';

    /// <summary>The double colon of modifiers such as L2::128B.</summary>
    private static bool IsScope(string text, int at) => text[at] == ':' && at + 1 < text.Length && text[at + 1] == ':';

    private static int Number(string text, int at, int line, List<Token> tokens)
    {
        int start = at;
        if (text[at] == '0' && at + 1 < text.Length && text[at + 1] is 'f' or 'F' or 'd' or 'D' && IsHex(text, at + 2))
        {
            int digits = text[at + 1] is 'f' or 'F' ? 8 : 16;
            if (at + 2 + digits > text.Length || !ulong.TryParse(
                text.AsSpan(at + 2, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong bits))
            {
                throw new PtxException(line, $"a floating-point constant needs {digits} hexadecimal digits");
            }

            tokens.Add(new(digits == 8 ? TokenKind.Single : TokenKind.Double, text.Substring(start, digits + 2), (long)bits, line));
            return at + 2 + digits;
        }

        bool hex = text[at] == '0' && at + 1 < text.Length && text[at + 1] is 'x' or 'X';
        at += hex ? 2 : 1;
        while (at < text.Length && (hex ? char.IsAsciiHexDigit(text[at]) : char.IsAsciiDigit(text[at]))) at++;

        bool isFloat = !hex && at + 1 < text.Length && text[at] == '.' && char.IsAsciiDigit(text[at + 1]);
        if (isFloat)
        {
            at++;
            while (at < text.Length && (
                char.IsAsciiDigit(text[at]) || text[at] is 'e' or 'E' || (text[at] is '-' or '+' && text[at - 1] is 'e' or 'E')))
            {
                at++;
            }

            double value = double.Parse(text.AsSpan(start, at - start), CultureInfo.InvariantCulture);
            tokens.Add(new(TokenKind.Double, text[start..at], BitConverter.DoubleToInt64Bits(value), line));
            return at;
        }

        ReadOnlySpan<char> span = text.AsSpan(hex ? start + 2 : start, at - (hex ? start + 2 : start));
        if (!ulong.TryParse(span, hex ? NumberStyles.AllowHexSpecifier : NumberStyles.None, CultureInfo.InvariantCulture,
            out ulong integer))
        {
            throw new PtxException(line, $"'{text[start..at]}' is not a number of at most 64 bits");
        }

        if (at < text.Length && text[at] == 'U') at++;

        tokens.Add(new(TokenKind.Integer, text[start..at], (long)integer, line));
        return at;
    }

    private static bool IsHex(string text, int at) => at < text.Length && char.IsAsciiHexDigit(text[at]);
}

/// <summary>PTX text that is not what the language or this emulator knows.</summary>
internal sealed class PtxException(int line, string message) : Exception($"PTX line {line}: {message}");
