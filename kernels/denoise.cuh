// The update of a reverse step, shared by denoise_step.cu and denoise_average_step.cu.
#pragma once
#include "common.cuh"

// Coefficients of the current step: row `step` of a table [rows, 5], the nearest row for a step outside.
struct DenoiseUpdate {
    float pred_x, pred_model, x_start, x, sigma;

    __device__ __forceinline__ DenoiseUpdate(const float* __restrict__ table, int rows, const int* __restrict__ step) {
        const float* row = table + min(max(*step, 0), rows - 1) * 5;
        pred_x = row[0], pred_model = row[1], x_start = row[2], x = row[3], sigma = row[4];
    }

    // x0 = clip(cx x + cp prediction);  c0 x0 + ct x + sigma noise.
    template <bool Clip>
    __device__ __forceinline__ float next(float x_t, float prediction, float noise) const {
        float x0 = fmaf(pred_model, prediction, pred_x * x_t);
        // Not fminf and fmaxf: NaN stays NaN.
        if (Clip) x0 = x0 < -1.f ? -1.f : x0 > 1.f ? 1.f : x0;
        return fmaf(x_start, x0, fmaf(x, x_t, sigma * noise));
    }
};
