// What all kernels of attention are made of. A block owns rows of one or two matrices (queries, or keys and values) and
// streams tiles of two others past them; `scores` are products of owned and streamed rows, `sums` are combinations of
// streamed rows. Matrices lie in shared memory with a row's HEAD channels contiguous, zeros up to head_pad, and 16 bytes
// between rows, so that neighbouring rows start 4 banks (mod 32, times an odd number) apart: reads of 8 rows of 16 bytes
// have no bank conflicts at any head size.
//
// Macros: OPERAND_T (bf16, f16, tf32: tensor cores; float: FFMA) with TENSOR_CORES 1 or 0, HEAD, WARPS, ROW_TILES (16-row
// tiles of a warp; 1 with FFMA), STREAM (rows of a streamed tile, a multiple of 16, with FFMA of 8).
#pragma once

#include "mma.cuh"

#if TENSOR_CORES
#include "attention_mma.cuh"
#else
#include "attention_ffma.cuh"
#endif

constexpr int threads = 32 * WARPS;
constexpr int warp_rows = 16 * ROW_TILES;
constexpr int block_rows = warp_rows * WARPS;
constexpr int tile_elements = STREAM * pitch;

template <typename First, typename Second>
constexpr bool is_same = false;
template <typename First>
constexpr bool is_same<First, First> = true;

// Widest access that all rows of heads are aligned for: heads start at multiples of HEAD.
template <typename Type>
__device__ constexpr int vector_of() {
    int v = 16 / (int)sizeof(Type);
    while (HEAD % v != 0) v /= 2;
    return v;
}

template <int Bytes>
struct word_of;
template <>
struct word_of<2> { typedef u16 type; };
template <>
struct word_of<4> { typedef u32 type; };
template <>
struct word_of<8> { typedef uint2 type; };
template <>
struct word_of<16> { typedef uint4 type; };

// Calls f(i) for every Stride-th i below Count from `first` on, Unrolled calls at a time. A loop of known length, so that
// calls next to each other need no tests between them.
template <int Count, int Stride, int Unrolled, typename Call>
__device__ __forceinline__ void each(u32 first, Call f) {
#pragma unroll Unrolled
    for (int k = 0; k < (Count + Stride - 1) / Stride; k++) {
        u32 i = first + k * Stride;
        if (Count % Stride == 0 || i < Count) f(i);
    }
}

// ---- to shared memory -------------------------------------------------------------------------------------------

// The head's channels of consecutive positions in a tensor [.., positions, channels].
template <typename Type>
struct matrix {
    const Type* first;
    int channels;
};

// One head of an image: part 0 of 1 in y, part q, k, v = 0, 1, 2 of 3 in qkv.
template <typename Type>
__device__ __forceinline__ matrix<Type> head_of(const Type* x, int part, int parts, int positions) {
    int channels = gridDim.y * parts * HEAD;
    return {x + (size_t)blockIdx.z * positions * channels + (blockIdx.y * parts + part) * HEAD, channels};
}

template <typename Type>
constexpr bool copies_async = is_same<Type, element> && vector_of<Type>() * sizeof(Type) >= 4;

// Starts to bring Rows positions from `row` on into a tile; those beyond the end become zero.
template <int Rows, typename Type>
__device__ __forceinline__ void fetch(element* tile, matrix<Type> source, int row, int positions) {
    constexpr int vector = vector_of<Type>(), across = HEAD / vector;
    each<Rows * across, threads, (copies_async<Type> ? 8 : 4)>(threadIdx.x, [&](u32 i) {
        u32 r = i / across, c = i % across * vector;
        bool inside = row + (int)r < positions;
        const Type* from = source.first + (inside ? (row + r) * source.channels : 0) + c;
        if constexpr (copies_async<Type>) {
            copy_async<vector * (int)sizeof(Type)>(shared_address(tile + r * pitch + c), from, inside);
        } else {
            float v[vector] = {};
            if (inside) load<Type, vector>(from, v);
#pragma unroll
            for (int k = 0; k < vector; k++) v[k] = to_operand(v[k]);
            store<element, vector>(tile + r * pitch + c, v);
        }
    });
}

// Rounds what this thread itself has copied, after its own wait and before the barrier, so that no other must wait.
template <int Rows, typename Type>
__device__ __forceinline__ void settle(element* tile) {
    if constexpr (rounds_operands && copies_async<Type>) {
        constexpr int vector = vector_of<Type>(), across = HEAD / vector;
        each<Rows * across, threads, 4>(threadIdx.x, [&](u32 i) {
            element* p = tile + i / across * pitch + i % across * vector;
            float v[vector];
            load<element, vector>(p, v);
#pragma unroll
            for (int k = 0; k < vector; k++) v[k] = to_operand(v[k]);
            store<element, vector>(p, v);
        });
    }
}

// Zeros the channels beyond HEAD of Rows rows: nothing is copied there, and products run over them. 16 bytes at once where
// they are aligned, neighbouring lanes in neighbouring rows, which start in different banks.
template <int Rows, int Across = head_pad - HEAD>
__device__ __forceinline__ void pad(element* tiles) {
    constexpr int unit = 16 / (int)sizeof(element);
    if constexpr (Across > 0 && HEAD % unit == 0) {
        for (u32 i = threadIdx.x; i < Rows * (Across / unit); i += threads)
            *(uint4*)(tiles + i % Rows * pitch + HEAD + i / Rows * unit) = make_uint4(0, 0, 0, 0);
    } else if constexpr (Across > 0) {
        for (u32 i = threadIdx.x; i < Rows * Across; i += threads) tiles[i / Across * pitch + HEAD + i % Across] = from_float<element>(0.f);
    }
}

// One of `Matrices` streams that share two stages of tiles: while one stage is used, the other is filled.
template <typename Type, int Matrices>
struct stream {
    element* tiles;
    matrix<Type> source;

    __device__ element* tile(int j) const { return tiles + j % 2 * (Matrices * tile_elements); }
    __device__ void start(int j, int positions) const { fetch<STREAM>(tile(j), source, j * STREAM, positions); }
    __device__ void finish(int j) const { settle<STREAM, Type>(tile(j)); }
};

// ---- from registers to global memory ----------------------------------------------------------------------------

// Neighbours to shared memory in one instruction: left to the compiler, some become a store each, with bank conflicts.
template <typename Type>
__device__ __forceinline__ void store_shared(Type* p, const float (&v)[sum_group]) {
    constexpr int count = sum_group * (int)sizeof(Type) / 4;
    u32 words[count];
#pragma unroll
    for (int i = 0; i < count; i++) {
        if constexpr (is_same<Type, float>) words[i] = __float_as_uint(v[i]);
        else words[i] = pack2<Type>(v[2 * i], v[2 * i + 1]);
    }
    u32 address = shared_address(p);
    if constexpr (count == 4)
        asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" :: "r"(address), "r"(words[0]), "r"(words[1]), "r"(words[2]),
            "r"(words[3]) : "memory");
    else if constexpr (count == 2)
        asm volatile("st.shared.v2.b32 [%0], {%1, %2};" :: "r"(address), "r"(words[0]), "r"(words[1]) : "memory");
    else
        asm volatile("st.shared.b32 [%0], %1;" :: "r"(address), "r"(words[0]) : "memory");
}

// Stores scale * sums as the block's rows of a part of one head, see head_of, by way of shared memory (warp_rows rows for
// each warp, which nobody may read any more) so that each lane writes 16 bytes.
template <typename Type>
__device__ __forceinline__ void write_rows(Type* x, int part, int parts, int positions, const sums& o, const float (&scale)[rows],
    void* stage) {
    matrix<Type> head = head_of((const Type*)x, part, parts, positions);
    Type* y = const_cast<Type*>(head.first);
    // Rows 8 elements apart (mod 32): neither the pairs of tensor cores nor the quadruples of FFMA meet in a bank. Where eight
    // lanes read parts of several rows, 4 apart: 8 would let three of them meet, 4 two, as it does for the pairs.
    constexpr int vector = vector_of<Type>(), across = HEAD / vector, out_pitch = head_pad
        + (across % 8 == 0 || sizeof(Type) < 4 || vector < 4 ? 8 : 4);
    typedef typename word_of<vector * (int)sizeof(Type)>::type word;
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, first = blockIdx.x * block_rows + warp * warp_rows;
    Type* tile = (Type*)stage + warp * warp_rows * out_pitch;
#pragma unroll
    for (int r = 0; r < rows; r++) {
#pragma unroll
        for (int c = 0; c < sums::columns; c += sum_group) {
            float v[sum_group];
#pragma unroll
            for (int k = 0; k < sum_group; k++) v[k] = scale[r] * o.at(r, c + k);
            store_shared<Type>(tile + warp_row_of(r) * out_pitch + sum_column_of(c), v);
        }
    }
    __syncwarp();
    each<warp_rows * across, 32, 8>(lane, [&](u32 i) {
        u32 r = i / across, c = i % across * vector;
        if (first + (int)r < positions) *(word*)(y + (size_t)(first + r) * head.channels + c) = *(const word*)(tile + r * out_pitch + c);
    });
    // The next result takes the same way.
    __syncwarp();
}

// ---- softmax ----------------------------------------------------------------------------------------------------

// Lanes that share rows are neighbours.
__device__ __forceinline__ float row_sum(float x) {
#pragma unroll
    for (int d = 1; d < row_lanes; d *= 2) x += __shfl_xor_sync(full_warp, x, d);
    return x;
}

__device__ __forceinline__ float row_max(float x) {
#pragma unroll
    for (int d = 1; d < row_lanes; d *= 2) x = fmaxf(x, __shfl_xor_sync(full_warp, x, d));
    return x;
}

__device__ __forceinline__ float minus_infinity() { return __int_as_float(0xff800000); }

// 2^x to 2 ulp; 0 for -infinity, NaN for NaN.
__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Running maximum and sum of a row's exponentials 2^(scale * score - base()). The base is rounded once and the same for
// all keys, so that it cancels exactly: scores of hundreds lose nothing. fmaxf skips NaN, which the exponentials keep.
struct row_softmax {
    float largest = minus_infinity();
    float total = 0.f;

    // Nothing but -infinity so far: any finite base gives zeros.
    __device__ float base(float scale) const { return largest == minus_infinity() ? 0.f : __fmul_rn(largest, scale); }

    // Takes a tile's scores, which become exponentials; gives the factor for what earlier tiles left.
    __device__ __forceinline__ float take(scores& s, int r, float scale) {
        float top = largest;
#pragma unroll
        for (int c = 0; c < scores::columns; c++) top = fmaxf(top, s.at(r, c));
        top = row_max(top);
        float before = __fmul_rn(largest, scale);
        largest = top;
        float now = base(scale), keep = power_of_two(before - now), sum = 0.f;
#pragma unroll
        for (int c = 0; c < scores::columns; c++) sum += s.at(r, c) = power_of_two(fmaf(s.at(r, c), scale, -now));
        total = total * keep + sum;
        return keep;
    }
};

// The number among the image's positions of this lane's row r of a block.
__device__ __forceinline__ int position_of(int r) { return blockIdx.x * block_rows + threadIdx.x / 32 * warp_rows + warp_row_of(r); }

// Removes keys beyond the end from the scores of the tile that starts at `first`.
__device__ __forceinline__ void mask(scores& s, int first, int positions) {
    if (first + STREAM <= positions) return;
#pragma unroll
    for (int c = 0; c < scores::columns; c++) {
        if (first + column_of(c) < positions) continue;
#pragma unroll
        for (int r = 0; r < rows; r++) s.at(r, c) = minus_infinity();
    }
}
