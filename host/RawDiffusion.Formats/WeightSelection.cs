namespace RawDiffusion.Formats;

/// <summary>Which weights to take from a checkpoint that holds a model twice: as trained, and averaged over time (EMA).</summary>
public enum WeightSelection
{
    /// <summary>The EMA weights where the file has them, else the only ones.</summary>
    Auto,
    /// <summary>The EMA weights; a file without them is an error.</summary>
    Ema,
    /// <summary>The weights as trained, also where the file has EMA weights.</summary>
    Online,
}
