namespace RawDiffusion.Engine.Reference;

/// <summary>Gradients of a convolution in double precision: each product of the forward sum gives its share.</summary>
internal static class ConvolutionGradients
{
    public static Array64 Input(Array64 dy, Array64 weight, int stride, int padding, int height, int width)
    {
        var dx = new Array64([dy.Shape[0], height, width, weight.Shape[3]]);
        EachProduct(dx.Shape, dy.Shape, weight.Shape[1], stride, padding, (n, y, x, c, oy, ox, o, ky, kx) =>
            dx[n, y, x, c] += dy[n, oy, ox, o] * weight[o, ky, kx, c]);
        return dx;
    }

    public static Array64 Weight(Array64 x, Array64 dy, int kernel, int stride, int padding)
    {
        var dw = new Array64([dy.Shape[3], kernel, kernel, x.Shape[3]]);
        EachProduct(x.Shape, dy.Shape, kernel, stride, padding, (n, y, xx, c, oy, ox, o, ky, kx) =>
            dw[o, ky, kx, c] += dy[n, oy, ox, o] * x[n, y, xx, c]);
        return dw;
    }

    private delegate void Product(int n, int y, int x, int c, int oy, int ox, int o, int ky, int kx);

    private static void EachProduct(Shape input, Shape output, int kernel, int stride, int padding, Product product)
    {
        for (int n = 0; n < output[0]; n++)
        for (int oy = 0; oy < output[1]; oy++)
        for (int ox = 0; ox < output[2]; ox++)
        for (int ky = 0; ky < kernel; ky++)
        for (int kx = 0; kx < kernel; kx++)
        {
            int y = oy * stride - padding + ky, x = ox * stride - padding + kx;
            if (y < 0 || y >= input[1] || x < 0 || x >= input[2]) continue;
            for (int o = 0; o < output[3]; o++)
            for (int c = 0; c < input[3]; c++) product(n, y, x, c, oy, ox, o, ky, kx);
        }
    }
}
