namespace RawDiffusion.Cuda.Compilation;

/// <summary>
/// Tells the registers of one kind by what came before. The compiler numbers registers through, so one instruction more renumbers all
/// that follow. A register that came before is told by how many others came since; a new one is nearly always the next of a run.
/// </summary>
internal sealed class RegisterNumbers
{
    // Of the published models' convolutions, 29 MB of PTX, registers take 1028 kB as they are, 521 kB as distances from the newest
    // register and 133 kB so. Numbers within Reach of a run belong to it.
    private const int Reach = 100, Runs = 16;

    // Codes: the next of the newest run; new, and its step follows; else how many came since.
    private const int Next = 0, New = 1, Known = 2;
    private const int NoRun = 255;

    private readonly List<int> ends = [0];
    private readonly List<int> met = [];

    /// <summary>Writes a number.</summary>
    public void Write(int number, PackedWriter[] writers)
    {
        PackedWriter codes = writers[(int)PackedStream.Registers], steps = writers[(int)PackedStream.Steps];
        int place = met.LastIndexOf(number);
        if (place >= 0)
        {
            codes.Number(Known + met.Count - 1 - place);
            MeetAgain(place);
            return;
        }
        int run = ends.FindIndex(end => Math.Abs(number - end) <= Reach);
        if (run == 0 && number == ends[0] + 1)
        {
            codes.Number(Next);
        }
        else
        {
            codes.Number(New);
            steps.Byte(run < 0 ? NoRun : number - ends[run] + Reach);
            steps.Number(run < 0 ? number : run);
        }
        Meet(run, number);
    }

    /// <summary>Reads what <see cref="Write"/> wrote.</summary>
    /// <exception cref="InvalidDataException">It did not write that.</exception>
    public int Read(PackedReader[] readers)
    {
        PackedReader codes = readers[(int)PackedStream.Registers], steps = readers[(int)PackedStream.Steps];
        int code = codes.Number();
        if (code >= Known)
        {
            int place = met.Count - 1 - (code - Known);
            if (place < 0) throw new InvalidDataException($"register {code} of {met.Count}");
            return MeetAgain(place);
        }
        if (code == Next) return Meet(0, ends[0] + 1);
        int step = steps.Byte(), run = steps.Number();
        if (step == NoRun) return Meet(-1, run);
        if (run >= ends.Count) throw new InvalidDataException($"run {run} of {ends.Count}");
        return Meet(run, ends[run] + step - Reach);
    }

    private int MeetAgain(int place)
    {
        int number = met[place];
        met.RemoveAt(place);
        met.Add(number);
        return number;
    }

    private int Meet(int run, int number)
    {
        if (run >= 0) ends.RemoveAt(run);
        else if (ends.Count == Runs) ends.RemoveAt(Runs - 1);
        ends.Insert(0, number);
        met.Add(number);
        return number;
    }
}
