// The counter-based generator of host/RawDiffusion.Engine/Philox.cs: equal words, and normal numbers equal to 2e-6.
#pragma once
#include "sin_cos.cuh"

// Philox4x32-10 (Salmon et al. 2011): four random words for one counter.
__device__ __forceinline__ uint4 philox(uint4 c, u32 k0, u32 k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        u32 high0 = __umulhi(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
        u32 high1 = __umulhi(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
        c = make_uint4(high1 ^ c.y ^ k0, low1, high0 ^ c.w ^ k1, low0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

// Two standard normal numbers from two words (Box and Muller): 24 bits each, offset by half a step, so that the radius is finite.
__device__ __forceinline__ float2 box_muller(u32 a, u32 b) {
    float u = ((float)(a >> 8) + 0.5f) * (1.f / 16777216.f);
    float radius = sqrtf(-2.f * logf(u));
    float sine, cosine;
    sin_cos((float)(b >> 8) * (6.28318530718f / 16777216.f), sine, cosine);
    return make_float2(radius * cosine, radius * sine);
}

// Standard normal numbers 4 block .. 4 block + 3 of a step.
__device__ __forceinline__ float4 philox_normal(u64 block, u32 step, u32 seed, u32 stream) {
    uint4 words = philox(make_uint4((u32)block, (u32)(block >> 32), step, 0), seed, stream);
    float2 a = box_muller(words.x, words.y), b = box_muller(words.z, words.w);
    return make_float4(a.x, a.y, b.x, b.y);
}
