// Self-attention over the T = POSITIONS positions of an image. qkv [N,T,3C] holds for each head its q, k and v channels
// side by side ([head][q|k|v][HEAD]); y, dy [N,T,C]. Scores never leave registers (FlashAttention, arXiv 2205.14135 and
// 2307.08691).
#include "attention_tiles.cuh"

extern __shared__ __align__(16) unsigned char shared[];

#ifdef ATTENTION_FORWARD
// attention_forward   y = softmax(q k^T / sqrt(HEAD)) v in each head; scale = log2(e) / sqrt(HEAD).
// qkv [N,T,3C]; y [N,T,C].  grid (ceil(T / block_rows), heads, N), block 32 * WARPS, block_rows = 16 * ROW_TILES * WARPS.
// Shared: two stages of STREAM keys and values, of `pitch` elements a row; FFMA also block_rows queries and the exchange.
// y '='.  Deterministic.
extern "C" __global__ void __launch_bounds__(32 * WARPS)
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
    matrix<Y_T> out = head_of((const Y_T*)y, 0, 1, POSITIONS);
    write_rows(const_cast<Y_T*>(out.first), out.channels, POSITIONS, o, inverse, shared);
}
#endif
