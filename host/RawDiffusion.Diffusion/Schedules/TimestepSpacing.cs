using System.Globalization;

namespace RawDiffusion.Diffusion.Schedules;

/// <summary>
/// Chooses which timesteps of a process a sampler visits. Every result is ascending and without repeats, ready for
/// <see cref="GaussianDiffusion.Respace"/>. Messages of the exceptions are one line, fit to be shown to a user.
/// </summary>
public static class TimestepSpacing
{
    /// <summary>
    /// Every (T/N)-th timestep from 0: for T = 1000 and N = 50 the chain 0, 20, ..., 980. It is the chain of the
    /// reference's <c>create_ddim_diffusion</c>, which for an N that does not divide T silently visits more than N.
    /// </summary>
    /// <param name="timesteps">T, the timesteps of training.</param>
    /// <param name="steps">N, the timesteps to visit; T keeps the whole chain.</param>
    /// <exception cref="ArgumentException">N is not between 1 and T, or does not divide T.</exception>
    public static int[] Every(int timesteps, int steps)
    {
        if (steps < 1 || steps > timesteps)
            throw new ArgumentException($"expected a number of steps from 1 to the {timesteps} of training, found {steps}");
        if (timesteps % steps != 0)
        {
            int below = steps;
            int above = steps;
            while (timesteps % below != 0) below--;
            while (timesteps % above != 0) above++;
            throw new ArgumentException(
                $"{steps} steps do not divide the {timesteps} of training; the nearest that do are {below} and {above}");
        }
        int stride = timesteps / steps;
        return [.. Enumerable.Range(0, steps).Select(i => i * stride)];
    }

    /// <summary>
    /// Timesteps by a description, as the reference's <c>space_timesteps</c> reads it: <c>"10,15,20"</c> is a count
    /// for each of equal sections, <c>"ddimN"</c> is N timesteps at an integer stride from 0 (Song et al. 2020), and
    /// <c>"fast27"</c> is 27 timesteps, dense where little noise is left.
    /// </summary>
    /// <param name="timesteps">T, the timesteps of training.</param>
    /// <param name="spacing">The description.</param>
    /// <exception cref="ArgumentException">The description is none of these, or T cannot be spaced like that.</exception>
    public static int[] Parse(int timesteps, string spacing)
    {
        if (spacing.StartsWith("ddim", StringComparison.Ordinal))
            return IntegerStride(timesteps, ParseCount(spacing["ddim".Length..], spacing));
        if (spacing != "fast27") return Sections(timesteps, [.. spacing.Split(',').Select(s => ParseCount(s, spacing))]);

        // The noisiest timestep but two replaces the noisiest: fewer artefacts in the first DDIM step.
        int[] steps = Sections(timesteps, [10, 10, 3, 2, 2]);
        steps[^1] = timesteps - 3;
        return [.. steps.Distinct().Order()];
    }

    /// <summary>
    /// Divides the T timesteps into equal sections and spreads the given count over each, both ends included
    /// (the list form of the reference's <c>space_timesteps</c>).
    /// </summary>
    /// <param name="timesteps">T, the timesteps of training.</param>
    /// <param name="sectionCounts">How many timesteps to keep of each section.</param>
    /// <exception cref="ArgumentException">There is no section, or one is smaller than its count.</exception>
    public static int[] Sections(int timesteps, IReadOnlyList<int> sectionCounts)
    {
        if (sectionCounts.Count == 0) throw new ArgumentException("timestep spacing needs at least one section, found none");
        int sizePerSection = timesteps / sectionCounts.Count;
        int larger = timesteps % sectionCounts.Count;
        var steps = new SortedSet<int>();
        int start = 0;
        for (int section = 0; section < sectionCounts.Count; section++)
        {
            int count = sectionCounts[section];
            int size = sizePerSection + (section < larger ? 1 : 0);
            if (count < 0 || count > size)
                throw new ArgumentException($"cannot divide a section of {size} timesteps into {count}");
            double stride = count <= 1 ? 1 : (double)(size - 1) / (count - 1);
            // Accumulated and rounded to even as in the reference, so that the same timesteps come out.
            double current = 0;
            for (int i = 0; i < count; i++, current += stride) steps.Add(start + (int)Math.Round(current));
            start += size;
        }
        return [.. steps];
    }

    private static int[] IntegerStride(int timesteps, int count)
    {
        for (int stride = 1; stride < timesteps; stride++)
        {
            int reached = (timesteps - 1) / stride + 1;
            if (reached == count) return [.. Enumerable.Range(0, count).Select(i => i * stride)];
        }
        throw new ArgumentException($"no integer stride over {timesteps} timesteps visits exactly {count} of them");
    }

    private static int ParseCount(string text, string spacing)
    {
        if (int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out int count)) return count;
        throw new ArgumentException(
            $"timestep spacing '{spacing}' is neither section counts like '10,15,20', nor 'ddimN', nor 'fast27'");
    }
}
