using RawDiffusion.Cuda.Emulator.Findings;

namespace RawDiffusion.Cuda.Emulator.Ptx;

/// <summary>Reads one .entry or .func, with nested scopes.</summary>
internal sealed class FunctionParser(PtxParser parser)
{
    private readonly Stack<Scope> scopes = new();
    private readonly List<(int Instruction, Scope Scope)> branches = [];
    private PtxFunction function = null!;
    private SourceLocation? location;
    private int scopeCount;

    private sealed class Scope(int number)
    {
        public string Suffix { get; } = number == 0 ? "" : $"@{number}";

        public Scope? Parent { get; init; }

        public Dictionary<string, PtxType> Registers { get; } = [];

        public Dictionary<string, PtxType> RegisterRanges { get; } = [];

        public HashSet<string> Names { get; } = [];
    }

    /// <summary>Null for a declaration without a body.</summary>
    public PtxFunction? Parse()
    {
        bool isEntry = parser.Word() == ".entry";
        List<PtxVariable> returns = !isEntry && parser.Current.Is('(') ? Parameters() : [];
        function = new PtxFunction { Name = parser.Word(), IsEntry = isEntry };
        function.Returns.AddRange(returns);
        if (parser.Current.Is('(')) function.Parameters.AddRange(Parameters());

        while (!parser.Current.Is('{'))
        {
            if (parser.Accept(';')) return null;

            Directive();
        }

        parser.Expect('{');
        Body();
        ResolveLabels();
        return function;
    }

    private List<PtxVariable> Parameters()
    {
        var list = new List<PtxVariable>();
        parser.Expect('(');
        while (!parser.Accept(')'))
        {
            if (parser.Current.Is(".reg"))
            {
                throw parser.Error("functions with register parameters are not known here: inline the function");
            }

            list.Add(parser.Variable(external: false));
            parser.Accept(',');
        }

        return list;
    }

    private void Directive()
    {
        string word = parser.Word();
        switch (word)
        {
            case ".maxntid" or ".reqntid":
                int[] extents = [1, 1, 1];
                int count = 0;
                do
                {
                    extents[count++] = (int)parser.Integer();
                }
                while (count < 3 && parser.Accept(','));
                function.MaxThreads = extents[0] * extents[1] * extents[2];
                if (word == ".reqntid") function.RequiredThreads = (extents[0], extents[1], extents[2]);

                break;
            case ".minnctapersm" or ".maxnreg" or ".maxnctapersm":
                parser.Integer();
                break;
            case ".noreturn":
                break;
            case ".pragma":
                parser.SkipTo(';');
                break;
            default:
                throw parser.Error($"'{word}' is not a directive that is known here");
        }
    }

    private void Body()
    {
        scopes.Push(new Scope(scopeCount++));
        while (scopes.Count > 0) Statement();
    }

    private void Statement()
    {
        if (parser.Accept('{'))
        {
            scopes.Push(new Scope(scopeCount++) { Parent = scopes.Peek() });
        }
        else if (parser.Accept('}'))
        {
            scopes.Pop();
        }
        else if (parser.Accept(';'))
        {
            // An empty statement, which inline assembly likes to leave.
        }
        else if (parser.Current.Kind == TokenKind.Word && parser.Current.Text[0] == '.')
        {
            BodyDirective();
        }
        else if (parser.Current.Kind == TokenKind.Word && parser.PeekIs(':'))
        {
            string label = parser.Word();
            parser.Expect(':');
            scopes.Peek().Names.Add(label);
            function.Labels[label + scopes.Peek().Suffix] = function.Instructions.Count;
        }
        else
        {
            Instruction();
        }
    }

    private void BodyDirective()
    {
        switch (parser.Current.Text)
        {
            case ".reg":
                parser.Next();
                Registers();
                break;
            case ".loc":
                parser.Next();
                Location();
                break;
            case ".pragma":
                parser.SkipTo(';');
                break;
            case ".shared" or ".local" or ".param":
                PtxVariable variable = parser.Variable(external: false);
                parser.Expect(';');
                scopes.Peek().Names.Add(variable.Name);
                function.Variables.Add(variable with { Name = variable.Name + scopes.Peek().Suffix });
                break;
            case ".branchtargets" or ".callprototype" or ".calltargets":
                throw parser.Error($"{parser.Current.Text} (branch tables and indirect calls) is not known here: use if/else or a "
                    + "direct call");
            default:
                throw parser.Error($"'{parser.Current.Text}' is not a directive that is known here");
        }
    }

    private void Registers()
    {
        string typeName = parser.Word();
        if (typeName is ".v2" or ".v4" || !PtxType.TryParse(typeName[1..], out PtxType type))
        {
            throw parser.Error($"registers of type '{typeName}' are not known here");
        }

        do
        {
            string name = parser.Word();
            if (parser.Accept('<'))
            {
                parser.Integer();
                parser.Expect('>');
                scopes.Peek().RegisterRanges[name] = type;
            }
            else
            {
                scopes.Peek().Registers[name] = type;
            }
        }
        while (parser.Accept(','));
        parser.Expect(';');
    }

    private void Location()
    {
        location = Position();
        while (parser.Accept(','))
        {
            if (parser.Word() == "function_name")
            {
                parser.Word();
                if (parser.Accept('+')) parser.Integer();
            }
            else
            {
                location = location with { InlinedAt = Position() };
            }
        }

        SourceLocation Position()
        {
            int file = (int)parser.Integer();
            int line = (int)parser.Integer();
            parser.Integer();
            return new(parser.Files.TryGetValue(file, out string? name) ? name : $"file {file}", line);
        }
    }

    private void Instruction()
    {
        string? guard = null;
        bool negated = false;
        if (parser.Accept('@'))
        {
            negated = parser.Accept('!');
            guard = Resolve(parser.Word());
        }

        int line = parser.Current.Line;
        string[] parts = parser.Word().Split('.');
        var operands = new List<PtxOperand>();
        while (!parser.Accept(';'))
        {
            operands.Add(Operand());
            parser.Accept(',');
        }

        if (parts[0] is "bra") branches.Add((function.Instructions.Count, scopes.Peek()));

        function.Instructions.Add(new(guard, negated, parts[0], parts[1..], operands, location ?? new("", line), line));
    }

    private PtxOperand Operand()
    {
        Token token = parser.Current;
        if (parser.Accept('['))
        {
            PtxOperand inner = Operand();
            long offset = inner.Kind == OperandKind.Integer ? inner.Value : 0;
            while (!parser.Accept(']'))
            {
                if (parser.Accept(','))
                {
                    // Coordinates of textures: the instruction will be refused by name.
                    Operand();
                    continue;
                }

                parser.Accept('+');
                offset += parser.Integer();
            }

            return new(OperandKind.Address, inner.Kind == OperandKind.Integer ? "" : inner.Name, offset) { Elements = [inner] };
        }

        if (parser.Accept('{') || parser.Accept('('))
        {
            char end = token.Is('{') ? '}' : ')';
            var elements = new List<PtxOperand>();
            while (!parser.Accept(end))
            {
                elements.Add(Operand());
                parser.Accept(',');
            }

            return new(OperandKind.Vector) { Elements = elements };
        }

        if (parser.Accept('!')) return Operand() with { Negated = true };

        if (parser.Accept('-'))
        {
            Token number = parser.Next();
            return number.Kind switch
            {
                TokenKind.Integer => new(OperandKind.Integer, "", -number.Value),
                TokenKind.Double => new(OperandKind.Double, "", number.Value ^ long.MinValue),
                TokenKind.Single => new(OperandKind.Single, "", number.Value ^ 0x8000_0000L),
                _ => throw parser.Error($"'{number.Text}' cannot be negated"),
            };
        }

        parser.Next();
        switch (token.Kind)
        {
            case TokenKind.Integer:
                return new(OperandKind.Integer, "", token.Value);
            case TokenKind.Single:
                return new(OperandKind.Single, "", token.Value);
            case TokenKind.Double:
                return new(OperandKind.Double, "", token.Value);
            case TokenKind.Word when token.Text == "_":
                return new(OperandKind.Sink);
            case TokenKind.Word when token.Text == "WARP_SZ":
                return new(OperandKind.Integer, "", 32);
            case TokenKind.Word:
                PtxOperand operand = Named(token.Text);
                if (parser.Accept('|')) return operand with { Pair = Operand() };

                // A constant expression such as symbol+4.
                return operand.Kind == OperandKind.Symbol && parser.Accept('+') ? operand with { Value = parser.Integer() } : operand;
            default:
                throw new PtxException(token.Line, $"'{token.Text}' is not an operand");
        }
    }

    private PtxOperand Named(string name)
    {
        string resolved = Resolve(name);
        return new(function.Registers.ContainsKey(resolved) ? OperandKind.Register : OperandKind.Symbol, resolved);
    }

    /// <summary>The unique name of what a name means here; registers become known to the function.</summary>
    private string Resolve(string name)
    {
        string range = name.TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9');
        for (Scope? scope = scopes.Peek(); scope is not null; scope = scope.Parent)
        {
            if (scope.Registers.TryGetValue(name, out PtxType type)
                || (range.Length < name.Length && scope.RegisterRanges.TryGetValue(range, out type)))
            {
                function.Registers[name + scope.Suffix] = type;
                return name + scope.Suffix;
            }

            if (scope.Names.Contains(name)) return name + scope.Suffix;
        }

        return name;
    }

    // Branches may go forward, so that labels are known only at the end.
    private void ResolveLabels()
    {
        foreach ((int index, Scope from) in branches)
        {
            PtxInstruction instruction = function.Instructions[index];
            string? label = null;
            string written = instruction.Operands.Count == 1 ? instruction.Operands[0].Name : "";
            string bare = written.Split('@')[0];
            for (Scope? scope = from; scope is not null && label is null; scope = scope.Parent)
            {
                label = function.Labels.ContainsKey(bare + scope.Suffix) ? bare + scope.Suffix : null;
            }

            if (label is null)
            {
                throw new PtxException(instruction.PtxLine, $"there is no label '{bare}' to branch to");
            }

            function.Instructions[index] = instruction with { Operands = [new(OperandKind.Label, label)] };
        }
    }
}
