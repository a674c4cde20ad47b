// Sine and cosine that agree with the host's to the last places.
#pragma once
#include "common.cuh"

// Sine and cosine of x, |x| < 1e5, to 1e-7 absolute. sin.approx loses digits with the angle, and sinf brings a reduction
// for huge arguments that needs local memory.
__device__ __forceinline__ void sin_cos(float x, float& sine, float& cosine) {
    // x = quadrant * pi / 2 + r with |r| <= pi / 4; pi / 2 in three parts, so that what the multiply-add rounds off is small.
    float quadrant = rintf(x * 0.636619772f);
    float r = fmaf(quadrant, -1.57079637e+00f, x);
    r = fmaf(quadrant, 4.37113883e-08f, r);
    r = fmaf(quadrant, 1.71512449e-15f, r);
    float r2 = r * r;
    // Taylor series: the first terms left out are below 2e-9 at pi / 4.
    float s = fmaf(r2, 2.75573192e-06f, -1.98412698e-04f);
    s = fmaf(r2, s, 8.33333333e-03f);
    s = fmaf(r2, s, -1.66666667e-01f);
    s = fmaf(r * r2, s, r);
    float c = fmaf(r2, -2.75573192e-07f, 2.48015873e-05f);
    c = fmaf(r2, c, -1.38888889e-03f);
    c = fmaf(r2, c, 4.16666667e-02f);
    c = fmaf(r2, c, -0.5f);
    c = fmaf(r2, c, 1.f);
    int q = (int)quadrant;
    float a = q & 1 ? c : s, b = q & 1 ? s : c;
    sine = q & 2 ? -a : a;
    cosine = (q + 1) & 2 ? -b : b;
}
