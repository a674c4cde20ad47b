using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Cuda.Tests.Operators;

/// <summary>
/// Group norm and its gradients in double precision, x [images, pixels, channels]. Batch norm is the case of one image whose
/// groups are single channels.
/// </summary>
internal sealed record NormReference(
    int Images, int Pixels, int Channels, int Groups, double Epsilon, Activation Activation = Activation.None)
{
    private int Size => Channels / Groups;

    public double[] Forward(double[] x, double[] gamma, double[] beta, double[]? film = null)
    {
        double[] xhat = Normalise(x).Xhat, y = new double[x.Length];
        for (int i = 0; i < x.Length; i++) y[i] = Activate(Affine(xhat, gamma, beta, film, i));
        return y;
    }

    public (double[] Input, double[] Gamma, double[] Beta, double[] Film) Gradients(
        double[] x, double[] gamma, double[] beta, double[]? film, double[] dy)
    {
        (double[] xhat, double[] rstd) = Normalise(x);
        double[] dx = new double[x.Length], dgamma = new double[Channels], dbeta = new double[Channels], dfilm =
            new double[Images * 2 * Channels];
        // By the chain rule through y = activation(z), z = (xhat gamma + beta) (1 + film scale) + film shift.
        double[] dxhat = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            (int n, int c) = (i / (Pixels * Channels), i % Channels);
            double factor = film is null ? 1 : 1 + film[n * 2 * Channels + c];
            double dz = dy[i] * Derivative(Affine(xhat, gamma, beta, film, i));
            dfilm[n * 2 * Channels + c] += dz * (xhat[i] * gamma[c] + beta[c]);
            dfilm[n * 2 * Channels + Channels + c] += dz;
            dgamma[c] += dz * factor * xhat[i];
            dbeta[c] += dz * factor;
            dxhat[i] = dz * factor * gamma[c];
        }
        foreach (int[] members in Members())
        {
            double mean = members.Average(i => dxhat[i]), product = members.Average(i => dxhat[i] * xhat[i]);
            foreach (int i in members) dx[i] = rstd[i] * (dxhat[i] - mean - xhat[i] * product);
        }
        return (dx, dgamma, dbeta, dfilm);
    }

    private (double[] Xhat, double[] Rstd) Normalise(double[] x)
    {
        double[] xhat = new double[x.Length], rstd = new double[x.Length];
        foreach (int[] members in Members())
        {
            double mean = members.Average(i => x[i]);
            double scale = 1 / Math.Sqrt(members.Average(i => (x[i] - mean) * (x[i] - mean)) + Epsilon);
            foreach (int i in members) (xhat[i], rstd[i]) = ((x[i] - mean) * scale, scale);
        }
        return (xhat, rstd);
    }

    // The elements of each group.
    private IEnumerable<int[]> Members() =>
        from n in Enumerable.Range(0, Images)
        from g in Enumerable.Range(0, Groups)
        select (from p in Enumerable.Range(0, Pixels)
                from c in Enumerable.Range(g * Size, Size)
                select (n * Pixels + p) * Channels
        + c).ToArray();

    private double Affine(double[] xhat, double[] gamma, double[] beta, double[]? film, int i)
    {
        (int n, int c) = (i / (Pixels * Channels), i % Channels);
        double z = xhat[i] * gamma[c] + beta[c];
        return film is null ? z : z * (1 + film[n * 2 * Channels + c]) + film[n * 2 * Channels + Channels + c];
    }

    private double Activate(double z) => Activation switch
    {
        Activation.Silu => z / (1 + Math.Exp(-z)),
        Activation.Relu => Math.Max(z, 0),
        _ => z,
    };

    private double Derivative(double z)
    {
        double sigmoid = 1 / (1 + Math.Exp(-z));
        return Activation switch
        {
            Activation.Silu => sigmoid * (1 + z * (1 - sigmoid)),
            Activation.Relu => z > 0 ? 1 : 0,
            _ => 1,
        };
    }
}
