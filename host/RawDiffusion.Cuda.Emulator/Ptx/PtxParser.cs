namespace RawDiffusion.Cuda.Emulator.Ptx;

/// <summary>
/// Reads a PTX module into records. Names that scopes hide from each other (registers and labels of inline assembly)
/// come out unique.
/// </summary>
internal sealed class PtxParser
{
    private readonly List<Token> tokens;
    private readonly Dictionary<int, string> files;
    private readonly PtxModule module = new();
    private int at;

    private PtxParser(List<Token> tokens)
    {
        this.tokens = tokens;
        files = FindFiles(tokens);
    }

    /// <summary>Parses a module.</summary>
    /// <exception cref="PtxException">The text is not PTX that is known here.</exception>
    public static PtxModule Parse(string text)
    {
        var parser = new PtxParser(PtxLexer.Tokenize(text));
        parser.Module();
        return parser.module;
    }

    internal Token Current => tokens[at];

    internal Token Next() => tokens[at++];

    internal IReadOnlyDictionary<int, string> Files => files;

    internal PtxException Error(string message) => new(Current.Line, message);

    internal void Expect(char punctuation)
    {
        if (!Current.Is(punctuation)) throw Error($"expected '{punctuation}', found '{Current.Text}'");

        at++;
    }

    internal bool Accept(char punctuation)
    {
        if (!Current.Is(punctuation)) return false;

        at++;
        return true;
    }

    internal bool PeekIs(char punctuation) => tokens[at + 1].Is(punctuation);

    internal string Word()
    {
        if (Current.Kind != TokenKind.Word) throw Error($"expected a name, found '{Current.Text}'");

        return Next().Text;
    }

    internal long Integer()
    {
        bool negative = Accept('-');
        if (Current.Kind != TokenKind.Integer) throw Error($"expected an integer, found '{Current.Text}'");

        long value = Next().Value;
        return negative ? -value : value;
    }

    internal void SkipTo(char punctuation)
    {
        while (!Current.Is(punctuation))
        {
            if (Current.Kind == TokenKind.End) throw Error($"expected '{punctuation}' before the end");

            at++;
        }

        at++;
    }

    // .file directives stand at the end of the text, their numbers are used before.
    private static Dictionary<int, string> FindFiles(List<Token> tokens)
    {
        var found = new Dictionary<int, string>();
        for (int i = 0; i + 2 < tokens.Count; i++)
        {
            if (tokens[i].Is(".file") && tokens[i + 1].Kind == TokenKind.Integer && tokens[i + 2].Kind == TokenKind.Text)
            {
                found[(int)tokens[i + 1].Value] = tokens[i + 2].Text;
            }
        }

        return found;
    }

    private void Module()
    {
        while (Current.Kind != TokenKind.End)
        {
            switch (Current.Text)
            {
                case ".version":
                    at++;
                    module.Version = Next().Text;
                    break;
                case ".target":
                    at++;
                    module.Target = Word();
                    while (Accept(',')) Word();

                    break;
                case ".address_size":
                    at++;
                    if (Integer() != 64) throw Error("only 64-bit addresses are known");

                    break;
                case ".file":
                    at += 3;
                    while (Accept(',')) at++;

                    break;
                case ".section":
                    SkipTo('{');
                    SkipTo('}');
                    break;
                case ".pragma":
                case ".alias":
                    SkipTo(';');
                    break;
                case ".visible" or ".extern" or ".weak" or ".common":
                    bool external = Current.Text == ".extern";
                    at++;
                    Declaration(external);
                    break;
                default:
                    Declaration(external: false);
                    break;
            }
        }
    }

    private void Declaration(bool external)
    {
        if (Current.Is(".entry") || Current.Is(".func"))
        {
            PtxFunction? function = new FunctionParser(this).Parse();
            if (function is not null) module.Functions[function.Name] = function;
        }
        else if (Current.Text is ".global" or ".const" or ".shared")
        {
            module.Variables.Add(Variable(external));
            Expect(';');
        }
        else
        {
            throw Error($"'{Current.Text}' is not a directive that is known here");
        }
    }

    /// <summary>A variable declaration from its state space to before its semicolon.</summary>
    internal PtxVariable Variable(bool external)
    {
        StateSpace space = Word() switch
        {
            ".global" => StateSpace.Global,
            ".const" => StateSpace.Constant,
            ".shared" => StateSpace.Shared,
            ".local" => StateSpace.Local,
            ".param" => StateSpace.Parameter,
            var other => throw Error($"'{other}' is not a state space"),
        };
        int alignment = 0, vector = 1;
        PtxType type = default;
        while (Current.Kind == TokenKind.Word && Current.Text[0] == '.')
        {
            string word = Word();
            switch (word)
            {
                case ".align":
                    alignment = (int)Integer();
                    break;
                case ".v2" or ".v4":
                    vector = word[2] - '0';
                    break;
                case ".ptr" or ".managed" or ".global" or ".const" or ".shared" or ".local":
                    break;
                default:
                    if (!PtxType.TryParse(word[1..], out type)) throw Error($"'{word}' is not a type");

                    break;
            }
        }

        int element = type.Bytes * vector;
        string name = Word();
        long bytes = element;
        while (Accept('['))
        {
            bytes *= Current.Is(']') ? 0 : Integer();
            Expect(']');
        }

        var variable = new PtxVariable(name, space, alignment == 0 ? element : alignment, bytes) { External = external };
        return Accept('=') ? Initialised(variable, type) : variable;
    }

    private PtxVariable Initialised(PtxVariable variable, PtxType type)
    {
        byte[] content = new byte[variable.Bytes];
        var relocations = new List<(int, string, long)>();
        int offset = 0;
        int depth = 0;
        do
        {
            while (Accept('{')) depth++;

            Element();
            while (depth > 0 && Accept('}')) depth--;
        }
        while (Accept(',') || depth > 0);
        return variable with { Initial = content, Relocations = relocations };

        void Element()
        {
            long value;
            if (Current.Kind == TokenKind.Word)
            {
                string symbol = Word();
                if (symbol == "generic")
                {
                    Expect('(');
                    symbol = Word();
                    Expect(')');
                }

                relocations.Add((offset, symbol, Accept('+') ? Integer() : 0));
                value = 0;
            }
            else if (Current.Kind is TokenKind.Single or TokenKind.Double)
            {
                Token token = Next();
                value = token.Kind == TokenKind.Double && type.Bits == 32
                    ? BitConverter.SingleToInt32Bits((float)BitConverter.Int64BitsToDouble(token.Value))
                    : token.Value;
            }
            else
            {
                value = Integer();
            }

            for (int i = 0; i < type.Bytes; i++, offset++)
            {
                if (offset >= content.Length)
                {
                    throw Error($"the initialiser of {variable.Name} is longer than {content.Length} bytes");
                }

                content[offset] = (byte)(value >> (8 * i));
            }
        }
    }
}
