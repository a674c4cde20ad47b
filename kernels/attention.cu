// Self-attention over the T = POSITIONS positions of an image. qkv [N,T,3C] holds for each head its q, k and v channels
// side by side ([head][q|k|v][HEAD]); y, dy [N,T,C]. Scores never leave registers (FlashAttention, arXiv 2205.14135 and
// 2307.08691).
// Launch bounds ask for one block, not for many: otherwise the assembler spills a register or two to fit another block. Nor are
// loops over the stream unrolled where a constant POSITIONS makes them short: that spills, too.
#include "attention_tiles.cuh"

extern __shared__ __align__(16) unsigned char shared[];

#ifdef ATTENTION_FORWARD
// attention_forward   y = softmax(q k^T / sqrt(HEAD)) v in each head; scale = log2(e) / sqrt(HEAD).
// qkv [N,T,3C]; y [N,T,C].  grid (ceil(T / block_rows), heads, N), block 32 * WARPS, block_rows = 16 * ROW_TILES * WARPS.
// Shared: two stages of STREAM keys and values, of `pitch` elements a row; FFMA also block_rows queries and the exchange.
// y '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    attention_forward(const X_T* __restrict__ qkv, Y_T* __restrict__ y, int positions_arg, float scale) {
    int first = blockIdx.x * block_rows;
    element* tiles = (element*)shared;
    stream<X_T, 2> keys = {tiles, head_of(qkv, 1, 3, POSITIONS)};
    stream<X_T, 2> values = {tiles + tile_elements, head_of(qkv, 2, 3, POSITIONS)};
#if TENSOR_CORES
    // The queries move on into registers before the second stage is filled.
    static_assert(block_rows <= 2 * STREAM, "the queries must fit into a stage");
    element* queries = tiles + 2 * tile_elements;
    pad<4 * STREAM>(tiles);
#else
    element* queries = tiles + 4 * tile_elements;
    pad<4 * STREAM + block_rows>(tiles);
#endif
    fetch<block_rows>(queries, head_of(qkv, 0, 3, POSITIONS), first, POSITIONS);
    keys.start(0, POSITIONS);
    values.start(0, POSITIONS);
    copy_async_commit();
    copy_async_wait<0>();
    settle<block_rows, X_T>(queries);
#if TENSOR_CORES
    __syncthreads();
    held q(queries);
#else
    owned q(queries);
#endif
    exchange pass(queries + block_rows * pitch);

    row_softmax softmax[rows];
    sums o;
    o.clear();
    int count = (POSITIONS + STREAM - 1) / STREAM;
#pragma unroll 1
    for (int j = 0; j < count; j++) {
        copy_async_wait<0>();
        keys.finish(j);
        values.finish(j);
        __syncthreads();
        if (j + 1 < count) {
            keys.start(j + 1, POSITIONS);
            values.start(j + 1, POSITIONS);
            copy_async_commit();
        }
        scores s;
        multiply(s, q, keys.tile(j));
        mask(s, j * STREAM, POSITIONS);
#pragma unroll
        for (int r = 0; r < rows; r++) {
            float keep = softmax[r].take(s, r, scale);
#pragma unroll
            for (int c = 0; c < sums::columns; c++) o.at(r, c) *= keep;
        }
        accumulate(o, s, values.tile(j), pass);
    }
    float inverse[rows];
#pragma unroll
    for (int r = 0; r < rows; r++) inverse[r] = 1.f / row_sum(softmax[r].total);
    __syncthreads();
    write_rows(y, 0, 1, POSITIONS, o, inverse, shared);
}
#endif

// Backward. With s = q k^T / sqrt(HEAD), p = softmax(s):
//   dv = p^T dy,  dp = dy v^T,  ds = p * (dp - delta),  delta = sum(dy * y) over the head,
//   dq = ds k / sqrt(HEAD),  dk = ds^T q / sqrt(HEAD).
// p is recomputed as 2^(scale * q k - base) * inverse: softmax [N,heads,T] holds (base, inverse) of each row.

#ifdef ATTENTION_GRAD_ROWS
// attention_grad_rows   base and inverse of each row's softmax, and delta = sum(dy * y); scale = log2(e) / sqrt(HEAD).
// qkv [N,T,3C]; y, dy [N,T,C]; softmax, delta [N,heads,T].  grid (ceil(T / block_rows), heads, N), block 32 * WARPS.
// Shared: two stages of STREAM keys, block_rows queries.  softmax, delta '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    attention_grad_rows(const X_T* __restrict__ qkv, const Y_T* __restrict__ y, const DY_T* __restrict__ dy,
                        float2* __restrict__ softmax, float* __restrict__ delta, int positions_arg, float scale) {
    int first = blockIdx.x * block_rows;
    size_t head_row = ((size_t)blockIdx.z * gridDim.y + blockIdx.y) * POSITIONS;
    element* tiles = (element*)shared;
    element* queries = tiles + 2 * tile_elements;
    stream<X_T, 1> keys = {tiles, head_of(qkv, 1, 3, POSITIONS)};
    pad<2 * STREAM + block_rows>(tiles);
    fetch<block_rows>(queries, head_of(qkv, 0, 3, POSITIONS), first, POSITIONS);
    keys.start(0, POSITIONS);
    copy_async_commit();

    // While the copies are under way: a few neighbouring lanes for each row.
    constexpr int vector = vector_of<Y_T>() < vector_of<DY_T>() ? vector_of<Y_T>() : vector_of<DY_T>();
    constexpr int across = HEAD / vector, lanes = across >= 32 ? 32 : across >= 16 ? 16 : across >= 8 ? 8 : across >= 4 ? 4 : 1;
    matrix<Y_T> results = head_of(y, 0, 1, POSITIONS);
    matrix<DY_T> cotangents = head_of(dy, 0, 1, POSITIONS);
    for (int r = threadIdx.x / lanes; r < block_rows; r += threads / lanes) {
        bool inside = first + r < POSITIONS;
        float sum = 0.f;
        if (inside) {
            for (int i = threadIdx.x % lanes; i < across; i += lanes) {
                float a[vector], b[vector];
                load<Y_T, vector>(results.first + (size_t)(first + r) * results.channels + i * vector, a);
                load<DY_T, vector>(cotangents.first + (size_t)(first + r) * cotangents.channels + i * vector, b);
#pragma unroll
                for (int k = 0; k < vector; k++) sum = fmaf(a[k], b[k], sum);
            }
        }
#pragma unroll
        for (int d = 1; d < lanes; d *= 2) sum += __shfl_xor_sync(full_warp, sum, d);
        if (inside && threadIdx.x % lanes == 0) delta[head_row + first + r] = sum;
    }

    copy_async_wait<0>();
    settle<block_rows, X_T>(queries);
    owned q(queries);
    row_softmax soft[rows];
    int count = (POSITIONS + STREAM - 1) / STREAM;
#pragma unroll 1
    for (int j = 0; j < count; j++) {
        copy_async_wait<0>();
        keys.finish(j);
        __syncthreads();
        if (j + 1 < count) {
            keys.start(j + 1, POSITIONS);
            copy_async_commit();
        }
        scores s;
        multiply(s, q, keys.tile(j));
        mask(s, j * STREAM, POSITIONS);
#pragma unroll
        for (int r = 0; r < rows; r++) soft[r].take(s, r, scale);
    }
#pragma unroll
    for (int r = 0; r < rows; r++) {
        float2 row = make_float2(soft[r].base(scale), 1.f / row_sum(soft[r].total));
        if (threadIdx.x % row_lanes == 0 && position_of(r) < POSITIONS) softmax[head_row + position_of(r)] = row;
    }
}
#endif

#ifdef ATTENTION_GRAD_QUERIES
// attention_grad_queries   dq = ds k / sqrt(HEAD); factor = 1 / sqrt(HEAD), scale = log2(e) * factor.
// qkv, dqkv [N,T,3C]; dy [N,T,C]; softmax, delta [N,heads,T].  grid (ceil(T / block_rows), heads, N), block 32 * WARPS.
// Shared: two stages of STREAM keys and values, block_rows of q and dy; FFMA also the exchange.
// dqkv: the channels of q '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    attention_grad_queries(const X_T* __restrict__ qkv, const DY_T* __restrict__ dy, const float2* __restrict__ softmax,
                           const float* __restrict__ delta, DX_T* __restrict__ dqkv, int positions_arg, float scale, float factor) {
    int first = blockIdx.x * block_rows;
    size_t head_row = ((size_t)blockIdx.z * gridDim.y + blockIdx.y) * POSITIONS;
    element* tiles = (element*)shared;
    element* queries = tiles + 4 * tile_elements;
    element* cotangents = queries + block_rows * pitch;
    stream<X_T, 2> keys = {tiles, head_of(qkv, 1, 3, POSITIONS)};
    stream<X_T, 2> values = {tiles + tile_elements, head_of(qkv, 2, 3, POSITIONS)};
    pad<4 * STREAM + 2 * block_rows>(tiles);
    fetch<block_rows>(queries, head_of(qkv, 0, 3, POSITIONS), first, POSITIONS);
    fetch<block_rows>(cotangents, head_of(dy, 0, 1, POSITIONS), first, POSITIONS);
    keys.start(0, POSITIONS);
    values.start(0, POSITIONS);
    copy_async_commit();
    float2 soft[rows];
    float d[rows];
#pragma unroll
    for (int r = 0; r < rows; r++) {
        bool inside = position_of(r) < POSITIONS;
        soft[r] = inside ? softmax[head_row + position_of(r)] : make_float2(0.f, 0.f);
        d[r] = inside ? delta[head_row + position_of(r)] : 0.f;
    }
    copy_async_wait<0>();
    settle<block_rows, X_T>(queries);
    settle<block_rows, DY_T>(cotangents);
    owned q(queries), g(cotangents);
    exchange pass(cotangents + block_rows * pitch);

    sums dq;
    dq.clear();
    int count = (POSITIONS + STREAM - 1) / STREAM;
#pragma unroll 1
    for (int j = 0; j < count; j++) {
        copy_async_wait<0>();
        keys.finish(j);
        values.finish(j);
        __syncthreads();
        if (j + 1 < count) {
            keys.start(j + 1, POSITIONS);
            values.start(j + 1, POSITIONS);
            copy_async_commit();
        }
        scores s, dp;
        multiply(s, q, keys.tile(j));
        multiply(dp, g, values.tile(j));
        mask(s, j * STREAM, POSITIONS);
#pragma unroll
        for (int r = 0; r < rows; r++)
#pragma unroll
            for (int c = 0; c < scores::columns; c++)
                s.at(r, c) = power_of_two(fmaf(s.at(r, c), scale, -soft[r].x)) * soft[r].y * (dp.at(r, c) - d[r]);
        accumulate(dq, s, keys.tile(j), pass);
    }
    float scales[rows];
#pragma unroll
    for (int r = 0; r < rows; r++) scales[r] = factor;
    __syncthreads();
    write_rows(dqkv, 0, 3, POSITIONS, dq, scales, shared);
}
#endif

#ifdef ATTENTION_GRAD_KEYS
// attention_grad_keys   dk = ds^T q / sqrt(HEAD), dv = p^T dy; factor = 1 / sqrt(HEAD), scale = log2(e) * factor.
// qkv, dqkv [N,T,3C]; dy [N,T,C]; softmax, delta [N,heads,T].  grid (ceil(T / block_rows), heads, N), block 32 * WARPS.
// Shared: two stages of STREAM rows of q and dy, block_rows keys and values, with FFMA the exchange; last, two stages of
// softmax and delta of the streamed rows.  dqkv: the channels of k and v '='.  Deterministic: a block adds all queries in order.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
    attention_grad_keys(const X_T* __restrict__ qkv, const DY_T* __restrict__ dy, const float2* __restrict__ softmax,
                        const float* __restrict__ delta, DX_T* __restrict__ dqkv, int positions_arg, float scale, float factor) {
    int first = blockIdx.x * block_rows;
    size_t head_row = ((size_t)blockIdx.z * gridDim.y + blockIdx.y) * POSITIONS;
    element* tiles = (element*)shared;
    element* keys = tiles + 4 * tile_elements;
    element* values = keys + block_rows * pitch;
    stream<X_T, 2> queries = {tiles, head_of(qkv, 0, 3, POSITIONS)};
    stream<DY_T, 2> cotangents = {tiles + tile_elements, head_of(dy, 0, 1, POSITIONS)};
    pad<4 * STREAM + 2 * block_rows>(tiles);
    fetch<block_rows>(keys, head_of(qkv, 1, 3, POSITIONS), first, POSITIONS);
    fetch<block_rows>(values, head_of(qkv, 2, 3, POSITIONS), first, POSITIONS);
    exchange pass(values + block_rows * pitch);
    float2* soft_rows = (float2*)(values + block_rows * pitch + exchange::elements);
    float* delta_rows = (float*)(soft_rows + 2 * STREAM);
    auto start = [&](int j) {
        queries.start(j, POSITIONS);
        cotangents.start(j, POSITIONS);
        // Zeros beyond the end: such queries have no weight.
        for (int i = threadIdx.x; i < 2 * STREAM; i += threads) {
            int r = i % STREAM, to = j % 2 * STREAM + r;
            bool inside = j * STREAM + r < POSITIONS;
            size_t from = head_row + (inside ? j * STREAM + r : 0);
            if (i < STREAM) copy_async<8>(shared_address(soft_rows + to), softmax + from, inside);
            else copy_async<4>(shared_address(delta_rows + to), delta + from, inside);
        }
        copy_async_commit();
    };
    start(0);
    copy_async_wait<0>();
    settle<block_rows, X_T>(keys);
    settle<block_rows, X_T>(values);
    owned k(keys), v(values);

    sums dk, dv;
    dk.clear();
    dv.clear();
    int count = (POSITIONS + STREAM - 1) / STREAM;
#pragma unroll 1
    for (int j = 0; j < count; j++) {
        copy_async_wait<0>();
        queries.finish(j);
        cotangents.finish(j);
        __syncthreads();
        if (j + 1 < count) start(j + 1);
        scores s, dp;
        multiply(s, k, queries.tile(j));
        multiply(dp, v, cotangents.tile(j));
#pragma unroll
        for (int c = 0; c < scores::columns; c++) {
            float2 soft = soft_rows[j % 2 * STREAM + column_of(c)];
            float d = delta_rows[j % 2 * STREAM + column_of(c)];
#pragma unroll
            for (int r = 0; r < rows; r++) {
                float p = power_of_two(fmaf(s.at(r, c), scale, -soft.x)) * soft.y;
                s.at(r, c) = p;
                dp.at(r, c) = p * (dp.at(r, c) - d);
            }
        }
        accumulate(dv, s, cotangents.tile(j), pass);
        accumulate(dk, dp, queries.tile(j), pass);
    }
    float scales[rows], ones[rows];
#pragma unroll
    for (int r = 0; r < rows; r++) scales[r] = factor, ones[r] = 1.f;
    __syncthreads();
    write_rows(dqkv, 1, 3, POSITIONS, dk, scales, shared);
    write_rows(dqkv, 2, 3, POSITIONS, dv, ones, shared);
}
#endif
