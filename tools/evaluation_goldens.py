"""Values that the tests of `evaluate` compare with, computed from the definitions without this project's code.

    python3 tools/evaluation_goldens.py             metrics, in plain Python
    python3 tools/evaluation_goldens.py --networks  AlexNet, VGG16 and Inception of closed-form weights, FID and KID, in PyTorch
"""
import itertools
import math
import struct
import sys


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def fnv1a32(text):
    h = 0x811C9DC5
    for b in text.encode():
        h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return h


def hash32(x):
    x ^= x >> 16
    x = (x * 0x7FEB352D) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def uniform(name, i):
    """Element i of a stream of numbers in [0, 1), as tests/RawDiffusion.Testing/ClosedFormWeights.cs draws them."""
    return (hash32((fnv1a32(name) + i * 2654435761) & 0xFFFFFFFF) >> 8) / (1 << 24)


def image(channels, height, width, name=None):
    """Ramps [c][y][x]; with a name, those dimmed and with noise."""
    def at(c, y, x):
        t = (3 * x + 2 * y + 8 * c) % 32
        ramp = min(t, 32 - t) / 16
        return ramp if name is None else f32(0.75 * ramp + 0.25 * uniform(name, (c * height + y) * width + x))
    return [[[at(c, y, x) for x in range(width)] for y in range(height)] for c in range(channels)]


def ssim(a, b):
    """Wang et al. 2004, each window on its own, two-pass statistics."""
    g = [math.exp(-(i - 5) ** 2 / (2 * 1.5 ** 2)) for i in range(11)]
    w = [[gi * gj / sum(g) ** 2 for gj in g] for gi in g]
    means = []
    for p, q in zip(a, b):
        values = []
        for y in range(len(p) - 10):
            for x in range(len(p[0]) - 10):
                at = list(itertools.product(range(11), range(11)))
                mp = sum(w[i][j] * p[y + i][x + j] for i, j in at)
                mq = sum(w[i][j] * q[y + i][x + j] for i, j in at)
                vp = sum(w[i][j] * (p[y + i][x + j] - mp) ** 2 for i, j in at)
                vq = sum(w[i][j] * (q[y + i][x + j] - mq) ** 2 for i, j in at)
                cov = sum(w[i][j] * (p[y + i][x + j] - mp) * (q[y + i][x + j] - mq) for i, j in at)
                values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp * mp + mq * mq + 1e-4) * (vp + vq + 9e-4)))
        means.append(sum(values) / len(values))
    return sum(means) / len(means)


def adjusted_rand(a, b):
    """From the pairs of pixels themselves."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    same_a = sum(a[i] == a[j] for i, j in pairs)
    same_b = sum(b[i] == b[j] for i, j in pairs)
    both = sum(a[i] == a[j] and b[i] == b[j] for i, j in pairs)
    expected = same_a * same_b / len(pairs)
    return (both - expected) / ((same_a + same_b) / 2 - expected)


def labels(name, count, kinds):
    return [int(uniform(name, i) * kinds) - 1 for i in range(count)]


def bins(values):
    """Bins between edges, as numpy.histogram and numpy.digitize find them."""
    low, high = min(values), max(values)
    edges = [low + (high - low) * i / 20 for i in range(20)]
    return [sum(v >= e for e in edges) for v in values]


def mutual_information(a, b):
    n, total = len(a), 0.0
    for i, j in set(zip(a, b)):
        p = sum(x == i and y == j for x, y in zip(a, b)) / n
        total += p * math.log(p / (a.count(i) / n) / (b.count(j) / n))
    return total


def mig(z, v):
    gaps = []
    for column in v:
        kinds = bins(column) if len(set(column)) > 20 else column
        info = sorted((mutual_information(bins(d), kinds) for d in z), reverse=True)
        gaps.append((info[0] - info[1]) / mutual_information(kinds, kinds))
    return sum(gaps) / len(gaps)


def correlation(a, b):
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    cov = sum((x - ma) * (y - mb) for x, y in zip(a, b))
    return cov / math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))


def mcc(z, v):
    """All ways to give each attribute a dimension of its own."""
    return max(sum(abs(correlation(v[i], z[d])) for i, d in enumerate(p)) for p in itertools.permutations(range(len(z)), len(v))) / len(v)


def metrics():
    a, b = image(3, 17, 23), image(3, 17, 23, "noise")
    flat = [(p, q) for pa, pb in zip(a, b) for ra, rb in zip(pa, pb) for p, q in zip(ra, rb)]
    mse = sum((p - q) ** 2 for p, q in flat) / len(flat)
    print(f"mse {mse:.12f}  psnr {10 * math.log10(1 / mse):.9f}  ssim {ssim(a, b):.12f}")

    factors, objects = labels("factors", 400, 4), labels("objects", 400, 5)
    factors = [o if o < 3 and uniform("mix", i) < 0.6 else f for i, (f, o) in enumerate(zip(factors, objects))]
    print(f"ari all {adjusted_rand(objects, factors):.12f}", end="  ")
    kept = [i for i in range(400) if objects[i] >= 0]
    print(f"foreground {adjusted_rand([objects[i] for i in kept], [factors[i] for i in kept]):.12f}", end="  ")
    def iou(o, k):
        both = sum(x == o and y == k for x, y in zip(objects, factors))
        return both / sum(x == o or y == k for x, y in zip(objects, factors))
    best = max(itertools.permutations(range(4), 3), key=lambda p: sum(iou(o, k) for k, o in enumerate(p)))
    print("iou of objects", {o: round(iou(o, k), 12) for k, o in enumerate(best)}, "by factor", best)

    n = 300
    v = [[uniform("v0", i) for i in range(n)], [float(int(4 * uniform("v1", i))) for i in range(n)]]
    z = [[0.7 * v[0][i] - 0.2 * v[1][i] + 0.3 * uniform("z0", i) for i in range(n)],
         [uniform("z1", i) for i in range(n)],
         [v[1][i] ** 2 + uniform("z2", i) for i in range(n)]]
    print(f"mig {mig(z, v):.12f}  mcc {mcc(z, v):.12f}")


def networks():
    import numpy as np
    import torch
    import torch.nn.functional as F

    torch.set_grad_enabled(False)

    def stream(name, count):
        """uniform(name, 0), uniform(name, 1), ..."""
        x = (np.uint32(fnv1a32(name)) + np.arange(count, dtype=np.uint32) * np.uint32(2654435761)).astype(np.uint32)
        x ^= x >> 16
        x *= np.uint32(0x7FEB352D)
        x ^= x >> 15
        x *= np.uint32(0x846CA68B)
        x ^= x >> 16
        return (x >> 8) / (1 << 24)

    def tensor(name, *shape):
        """A tensor of ClosedFormWeights; convolutions times 1.5, which keeps the signal alive through many layers."""
        u = stream(name, int(np.prod(shape))) - 0.5
        if name.endswith("running_var"):
            values = 1 + np.abs(u)
        elif not name.endswith("weight"):
            values = 0.1 * u
        elif len(shape) == 1:
            values = 1 + 0.2 * u
        else:
            values = 2 * math.sqrt(3 / np.prod(shape[1:])) * u
        values = values.astype(np.float32)
        if len(shape) == 4:
            values = values * np.float32(1.5)
        return torch.from_numpy(values.reshape(shape))

    def lin(name, channels):
        return tensor(name, 1, channels, 1, 1).abs()

    def pictures(count, size, name):
        return torch.from_numpy(stream(name, count * 3 * size * size).astype(np.float32).reshape(count, 3, size, size))

    def alex(x):
        taps = []
        for index, (o, i, k, stride, padding, pool) in {0: (64, 3, 11, 4, 2, False), 3: (192, 64, 5, 1, 2, True), 6: (384, 192, 3, 1, 1, True),
                                                        8: (256, 384, 3, 1, 1, False), 10: (256, 256, 3, 1, 1, False)}.items():
            x = F.max_pool2d(x, 3, 2) if pool else x
            x = F.relu(F.conv2d(x, tensor(f"features.{index}.weight", o, i, k, k), tensor(f"features.{index}.bias", o), stride, padding))
            taps.append(x)
        return taps

    def vgg(x):
        taps, index, i = [], 0, 3
        for stage, (o, layers) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
            if stage > 0:
                x, index = F.max_pool2d(x, 2, 2), index + 1
            for _ in range(layers):
                x = F.relu(F.conv2d(x, tensor(f"features.{index}.weight", o, i, 3, 3), tensor(f"features.{index}.bias", o), 1, 1))
                index, i = index + 2, o
            taps.append(x)
        return taps

    def lpips(network, a, b):
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
        total = 0
        for k, (p, q) in enumerate(zip(*(network((2 * x - 1 - shift) / scale) for x in (a, b)))):
            p, q = (t / (t.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for t in (p, q))
            total = total + F.conv2d((p - q) ** 2, lin(f"lin{k}.model.1.weight", p.shape[1])).mean((2, 3))
        return [round(v, 9) for v in total.flatten().tolist()]

    for size in (64, 45):
        a, b = pictures(2, size, "lpips a"), pictures(2, size, "lpips b")
        b[1] = 0.9 * a[1] + 0.1 * b[1]
        print(f"lpips {size}: alex", lpips(alex, a, b), "vgg", lpips(vgg, a, b))

    def inception(x):
        def conv(x, name, o, k=1, stride=1, padding=0):
            kh, kw = (k, k) if isinstance(k, int) else k
            x = F.conv2d(x, tensor(name + ".conv.weight", o, x.shape[1], kh, kw), None, stride, padding)
            mean, var, gamma, beta = (tensor(f"{name}.bn.{p}", o) for p in ("running_mean", "running_var", "weight", "bias"))
            return F.relu(F.batch_norm(x, mean, var, gamma, beta, eps=0.001))

        def average(x):
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

        def tall(x, name, o, k=7):
            return conv(x, name, o, (k, 1), 1, (k // 2, 0))

        def wide(x, name, o, k=7):
            return conv(x, name, o, (1, k), 1, (0, k // 2))

        def a(x, m, pool):
            d = conv(conv(conv(x, m + "branch3x3dbl_1", 64), m + "branch3x3dbl_2", 96, 3, 1, 1), m + "branch3x3dbl_3", 96, 3, 1, 1)
            return torch.cat([conv(x, m + "branch1x1", 64), conv(conv(x, m + "branch5x5_1", 48), m + "branch5x5_2", 64, 5, 1, 2), d,
                              conv(average(x), m + "branch_pool", pool)], 1)

        def c(x, m, w):
            s = tall(wide(conv(x, m + "branch7x7_1", w), m + "branch7x7_2", w), m + "branch7x7_3", 192)
            d = conv(x, m + "branch7x7dbl_1", w)
            d = wide(tall(wide(tall(d, m + "branch7x7dbl_2", w), m + "branch7x7dbl_3", w), m + "branch7x7dbl_4", w), m + "branch7x7dbl_5", 192)
            return torch.cat([conv(x, m + "branch1x1", 192), s, d, conv(average(x), m + "branch_pool", 192)], 1)

        def e(x, m, pool):
            s = conv(x, m + "branch3x3_1", 384)
            d = conv(conv(x, m + "branch3x3dbl_1", 448), m + "branch3x3dbl_2", 384, 3, 1, 1)
            return torch.cat([conv(x, m + "branch1x1", 320), wide(s, m + "branch3x3_2a", 384, 3), tall(s, m + "branch3x3_2b", 384, 3),
                              wide(d, m + "branch3x3dbl_3a", 384, 3), tall(d, m + "branch3x3dbl_3b", 384, 3), conv(pool(x), m + "branch_pool", 192)], 1)

        x = 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
        x = conv(conv(conv(x, "Conv2d_1a_3x3", 32, 3, 2), "Conv2d_2a_3x3", 32, 3), "Conv2d_2b_3x3", 64, 3, 1, 1)
        x = conv(conv(F.max_pool2d(x, 3, 2), "Conv2d_3b_1x1", 80), "Conv2d_4a_3x3", 192, 3)
        x = F.max_pool2d(x, 3, 2)
        for name, pool in [("5b", 32), ("5c", 64), ("5d", 64)]:
            x = a(x, f"Mixed_{name}.", pool)
        d = conv(conv(conv(x, "Mixed_6a.branch3x3dbl_1", 64), "Mixed_6a.branch3x3dbl_2", 96, 3, 1, 1), "Mixed_6a.branch3x3dbl_3", 96, 3, 2)
        x = torch.cat([conv(x, "Mixed_6a.branch3x3", 384, 3, 2), d, F.max_pool2d(x, 3, 2)], 1)
        for name, width in [("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)]:
            x = c(x, f"Mixed_{name}.", width)
        d = tall(wide(conv(x, "Mixed_7a.branch7x7x3_1", 192), "Mixed_7a.branch7x7x3_2", 192), "Mixed_7a.branch7x7x3_3", 192)
        x = torch.cat([conv(conv(x, "Mixed_7a.branch3x3_1", 192), "Mixed_7a.branch3x3_2", 320, 3, 2),
                       conv(d, "Mixed_7a.branch7x7x3_4", 192, 3, 2), F.max_pool2d(x, 3, 2)], 1)
        x = e(x, "Mixed_7b.", average)
        x = e(x, "Mixed_7c.", lambda t: F.max_pool2d(t, 3, 1, 1))
        return x.mean((2, 3))

    features = inception(torch.cat([pictures(1, 64, "inception"), torch.from_numpy(np.array(image(3, 40, 40), np.float32))[None].repeat(1, 1, 2, 2)[:, :, :64, :64]]))
    print("inception", [[float(f"{v:.7g}") for v in row[::128].tolist()] for row in features], "sum", features.sum(1).tolist(),
          "difference of rows", (features[0] - features[1]).abs().sum().item())

    def normal(name, rows, width):
        u = stream(name, 2 * rows * width).reshape(-1, 2)
        values = np.sqrt(-2 * np.log(1 - u[:, 0])) * np.cos(2 * math.pi * u[:, 1])
        return torch.from_numpy(values.astype(np.float32).astype(np.float64).reshape(rows, width))

    def fid(x, y):
        """The textbook: matrix root by eigenvectors."""
        cx, cy = torch.cov(x.T), torch.cov(y.T)
        values, vectors = torch.linalg.eigh(cx)
        root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
        trace = torch.linalg.eigvalsh(root @ cy @ root).clamp(min=0).sqrt().sum()
        return ((x.mean(0) - y.mean(0)) ** 2).sum() + cx.trace() + cy.trace() - 2 * trace

    def kid(x, y):
        kernel = lambda p, q: (p @ q.T / p.shape[1] + 1) ** 3
        n, m, kx, ky = len(x), len(y), kernel(x, x), kernel(y, y)
        return (kx.sum() - kx.trace()) / (n * (n - 1)) + (ky.sum() - ky.trace()) / (m * (m - 1)) - 2 * kernel(x, y).mean()

    for rows, width in [(50, 12), (40, 64), (300, 64)]:
        x, y = normal("fid x", rows, width), 1.5 * normal("fid y", rows, width) + 0.25
        y[:, 1] += x[:, 0]
        y = y.float().double()
        print(f"{rows} x {width}: fid {fid(x, y):.10f} kid {kid(x, y):.12f}")


if __name__ == "__main__":
    networks() if sys.argv[1:] == ["--networks"] else metrics()
