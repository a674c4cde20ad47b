"""Values that the tests of `evaluate` compare with, computed from the definitions without this project's code.

    python3 tools/evaluation_goldens.py
"""
import itertools
import math
import struct


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


if __name__ == "__main__":
    metrics()
