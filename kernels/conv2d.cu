// Convolution, NHWC, forward and backward, as an implicit GEMM of output pixels x output channels over taps x input channels.
#include "conv2d_grad.cuh"
#include "norm_statistics.cuh"

#ifdef CONV2D_FORWARD
// conv2d_forward   y = onStore(sum over taps and c of w * in + sum over s of skip_w * concat(skip, skip2) + bias + embedding
//                  + residual),  in = spread(onLoad(affine(concat(x, x2)))), zero outside.
//
// x [N,H,W,C], x2 [N,H,W,C2], y [N,OH,OW,O], residual [N,OH,OW,O] or [N,OH/2,OW/2,O], skip [N,OH,OW,S], skip2 [N,OH,OW,S2];
// affine [N,2,C+C2], bias [O], embedding [N,O] float32; weight, skip_weight as conv2d_pack writes them.
// grid (ceil(O / TILE_O), tiles of TILE_H x TILE_W pixels, N), block 32 * WARPS_M * WARPS_N * WARPS_K, shared memory as
// ConvTile.SharedBytes says.  y '='.  Deterministic.
//
// Warps are WARPS_M x WARPS_N over the tile, times WARPS_K that share the depth of each chunk and add up at the end: where
// an image is small, a tile is too, and four warps would not hide the latency of a multiprocessor of their own.
// A stage is the weights of one row of taps, copied asynchronously STAGES - 1 ahead; one barrier for each.
//
// STATISTICS: the block also leaves mean and M2 of the values it stores, for each channel, in partials [N, tiles, 2, O] '='.
// FINISH: the last block of an image turns these, and x2's partials where the norm's input is a concatenation, into the
// affine of the group norm that follows, norm_affine [N,2,O+NORM_C2] '='; counters [N] are zero before and after.
namespace {

typedef COMPUTE_T Compute;

constexpr int warps = WARPS_M * WARPS_N * WARPS_K, threads = warps * 32;
constexpr int tile_pixels = TILE_H * TILE_W;
constexpr int pitch = (UNITS + 1) * 16, chunk = UNITS * unit_elements<Compute>;
// 8 modulo 32, for the sake of WarpTile::store.
constexpr int tile_pitch = TILE_O + 8;

typedef WarpTile<Compute, tile_pixels / WARPS_M, TILE_O / WARPS_N> Tile;
// Steps of a tap in a chunk, for each of the warps that share its depth.
constexpr int steps = UNITS / Tile::depth / WARPS_K;
static_assert(steps * Tile::depth * WARPS_K == UNITS, "the warps share a chunk's units evenly");
typedef Patch<Compute, X_T, X2_T, KERNEL_SIZE, STRIDE, SPREAD, TILE_H, TILE_W, UNITS, VECTOR, CONCAT, AFFINE, ON_LOAD, threads> MainPatch;
#if SKIP
typedef Patch<Compute, SKIP_T, SKIP2_T, 1, 1, SPREAD_NONE, TILE_H, TILE_W, UNITS, SKIP_VECTOR, SKIP_CONCAT, 0,
    ACTIVATION_NONE, threads> SkipPatch;
#endif

// The weights of rows of taps, a stage each, on their way through STAGES slots of shared memory.
template <int Kernel>
struct WeightStream {
    static constexpr int stage_bytes = Kernel * TILE_O * pitch;
    const u8* weight;
    u32 slots;
    int total, next = 0, next_slot = 0;

    // Starts the copies of the next stage, if there is one, for this block's output channels.
    __device__ __forceinline__ void copy_next() {
        constexpr int units = Kernel * TILE_O * UNITS;
        if (next < total) {
            const size_t tap_bytes = (size_t)gridDim.x * TILE_O * UNITS * 16;
            const u8* source = weight + (size_t)next * Kernel * tap_bytes + (size_t)blockIdx.x * TILE_O * UNITS * 16;
            const u32 slot = slots + next_slot * stage_bytes;
#pragma unroll
            for (int i = 0; i < (units + threads - 1) / threads; i++) {
                int u = threadIdx.x + i * threads;
                int row = u / UNITS, tap = row / TILE_O;
                if (units % threads == 0 || u < units)
                    copy_async<16>(slot + row * pitch + u % UNITS * 16, source + tap * tap_bytes + (u - tap * (TILE_O * UNITS)) * 16);
            }
        }
        copy_async_commit();
        next++;
        next_slot = next_slot + 1 == STAGES ? 0 : next_slot + 1;
    }

    // Waits for the stage copied first of those in flight, and starts another in the slot that is read no more.
    __device__ __forceinline__ u32 take() {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        const u32 slot = slots + (next_slot + 1 == STAGES ? 0 : next_slot + 1) * stage_bytes;
        copy_next();
        return slot;
    }
};

// Adds the products of chunk c. With More the next chunk is fetched meanwhile, and deposited among the products of all rows
// of taps but the first: each row is one basic block, in which the compiler mixes the work of tensor cores and other units.
// All of the chunk in one row would take more registers than there are.
// rows, columns: where this lane reads in the first patch and in a slot.
template <bool More, int Kernel, typename AnyPatch>
__device__ __forceinline__ void multiply(
    Tile& tile, AnyPatch& patch, WeightStream<Kernel>& stream, int c, u32 shared, u32 rows, u32 columns,
    const float* scale, const float* shift) {
    constexpr bool spread = Tile::unroll && Kernel > 1;
    const u32 patch_rows = rows + (c & 1) * AnyPatch::bytes;
#pragma unroll(Tile::unroll ? Kernel : 1)
    for (int ky = 0; ky < Kernel; ky++) {
        const u32 stage_columns = stream.take() + columns;
        if (More && ky == 0) patch.fetch((c + 1) * chunk);
#pragma unroll(Tile::unroll ? Kernel : 1)
        for (int kx = 0; kx < Kernel; kx++)
#pragma unroll(Tile::unroll ? steps : 1)
            for (int k = 0; k < steps; k++)
                tile.step(
                    [&](int i) { return patch_rows + AnyPatch::row_offset(i * Tile::row_step) + AnyPatch::tap_offset(ky, kx)
                        + k * Tile::depth * 16; },
                    [&](int j) { return stage_columns + (kx * TILE_O + j * Tile::column_step) * pitch + k * Tile::depth * 16; });
        if (More && spread && ky > 0)
            patch.deposit(shared + ((c + 1) & 1) * AnyPatch::bytes, scale + (c + 1) * chunk, shift + (c + 1) * chunk, ky - 1, Kernel - 1);
    }
    if constexpr (More && !spread)
        patch.deposit(shared + ((c + 1) & 1) * AnyPatch::bytes, scale + (c + 1) * chunk, shift + (c + 1) * chunk);
}

// Adds the convolution of `patch` with `weight` to the tile's sums. `shared` holds two patches, then the slots.
template <int Kernel, typename AnyPatch>
__device__ __forceinline__ void contract(Tile& tile, AnyPatch& patch, const u8* weight, int chunks, u32 shared, const float* scale,
    const float* shift) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int warp_m = warp % WARPS_M, warp_n = warp / WARPS_M % WARPS_N, warp_k = warp / (WARPS_M * WARPS_N);
    const int first_unit = warp_k * steps * Tile::depth;
    const u32 rows = shared + AnyPatch::row_offset(warp_m * (tile_pixels / WARPS_M)) + AnyPatch::row_offset(Tile::row(lane))
        + (first_unit + Tile::row_unit(lane)) * 16;
    const u32 columns = (warp_n * (TILE_O / WARPS_N) + Tile::column(lane)) * pitch + (first_unit + Tile::column_unit(lane)) * 16;
    WeightStream<Kernel> stream = {weight, shared + 2 * AnyPatch::bytes, chunks * Kernel};

    patch.fetch(0);
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) stream.copy_next();
    patch.deposit(shared, scale, shift);
#pragma unroll 1
    for (int c = 0; c + 1 < chunks; c++) multiply<true>(tile, patch, stream, c, shared, rows, columns, scale, shift);
    multiply<false>(tile, patch, stream, chunks - 1, shared, rows, columns, scale, shift);
    // Whoever uses the memory next may write it.
    copy_async_wait<0>();
    __syncthreads();
}

}  // namespace

extern "C" __global__ void __launch_bounds__(threads, threads <= 128 ? 2 : 1) conv2d_forward(
    const X_T* __restrict__ x, const X2_T* __restrict__ x2, const float* __restrict__ affine, const u8* __restrict__ weight,
    const float* __restrict__ bias, const float* __restrict__ embedding, const RESIDUAL_T* __restrict__ residual, Y_T* __restrict__ y,
#if SKIP
    const SKIP_T* __restrict__ skip, const SKIP2_T* __restrict__ skip2, const u8* __restrict__ skip_weight, int s_arg, int s2_arg,
#endif
#if STATISTICS
    float* partials, const float* __restrict__ counts,
#endif
#if FINISH
    u32* counters, const float* partials2, const float* __restrict__ counts2, const float* __restrict__ gamma,
    const float* __restrict__ beta, const float* __restrict__ film, float* __restrict__ norm_affine, int tiles2, int norm_c2_arg,
    int groups, float epsilon,
#endif
    int h_arg, int w_arg, int c_arg, int c2_arg, int oh_arg, int ow_arg, int o_arg, int padding_arg) {
    extern __shared__ uint4 memory[];
    u8* const shared = (u8*)memory;
    const u32 shared_base = shared_address(shared);
    const int n = blockIdx.z;
    const int tiles_x = (OW + TILE_W - 1) / TILE_W;
    const int y0 = (int)blockIdx.y / tiles_x * TILE_H, x0 = (int)blockIdx.y % tiles_x * TILE_W;
    Tile tile;
    {
        MainPatch patch;
        const int chunks = (C + C2 + chunk - 1) / chunk;
        float* scale = (float*)(shared + 2 * MainPatch::bytes + STAGES * KERNEL_SIZE * TILE_O * pitch);
        float* shift = scale + chunks * chunk;
        patch.locate(ConvInput<X_T, X2_T>{x, x2, H, W, C, C2}.image(n), y0, x0, PADDING);
        if constexpr (AFFINE) {
            const float* source = affine + (size_t)n * 2 * (C + C2);
            for (int c = threadIdx.x; c < chunks * chunk; c += threads) {
                bool real = c < C + C2;
                scale[c] = real ? source[c] : 0.f;
                shift[c] = real ? source[C + C2 + c] : 0.f;
            }
            __syncthreads();
        }
        contract<KERNEL_SIZE>(tile, patch, weight, chunks, shared_base, scale, shift);
    }
#if SKIP
    {
        SkipPatch patch;
        patch.locate(ConvInput<SKIP_T, SKIP2_T>{skip, skip2, OH, OW, S, S2}.image(n), y0, x0, 0);
        contract<1>(tile, patch, skip_weight, (S + S2 + chunk - 1) / chunk, shared_base, (float*)nullptr, (float*)nullptr);
    }
#endif

    // The sums go through shared memory so that neighbours in a row store 16 bytes each.
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int warp_m = warp % WARPS_M, warp_n = warp / WARPS_M % WARPS_N, warp_k = warp / (WARPS_M * WARPS_N);
    float* const sums = (float*)shared;
    tile.store(sums + (warp_k * tile_pixels + warp_m * (tile_pixels / WARPS_M)) * tile_pitch + warp_n * (TILE_O / WARPS_N),
        tile_pitch, lane);
    __syncthreads();

    constexpr int columns = TILE_O / STORE_VECTOR, rows_at_once = threads / columns;
    static_assert(rows_at_once * columns == threads && tile_pixels % rows_at_once == 0, "threads share the tile evenly");
    const int column = threadIdx.x % columns * STORE_VECTOR, first_row = threadIdx.x / columns;
    const int o = blockIdx.x * TILE_O + column;
    const bool stores = o < O;
    float added[STORE_VECTOR] = {};
    if (stores) {
        if constexpr (BIAS) load<float, STORE_VECTOR>(bias + o, added);
        if constexpr (EMBEDDING) {
            float e[STORE_VECTOR];
            load<float, STORE_VECTOR>(embedding + (size_t)n * O + o, e);
#pragma unroll
            for (int k = 0; k < STORE_VECTOR; k++) added[k] += e[k];
        }
    }
#if STATISTICS
    float origin[STORE_VECTOR] = {}, sum[STORE_VECTOR] = {}, squares[STORE_VECTOR] = {}, count = 0.f;
#endif
#pragma unroll 2
    for (int i = 0; i < tile_pixels / rows_at_once; i++) {
        const int row = first_row + i * rows_at_once;
        const int oy = y0 + row / TILE_W, ox = x0 + row % TILE_W;
        if (!stores || oy >= OH || ox >= OW) continue;
        float v[STORE_VECTOR];
        load<float, STORE_VECTOR>(sums + row * tile_pitch + column, v);
#pragma unroll
        for (int k = 1; k < WARPS_K; k++) {
            float part[STORE_VECTOR];
            load<float, STORE_VECTOR>(sums + (k * tile_pixels + row) * tile_pitch + column, part);
#pragma unroll
            for (int j = 0; j < STORE_VECTOR; j++) v[j] += part[j];
        }
#pragma unroll
        for (int k = 0; k < STORE_VECTOR; k++) v[k] += added[k];
        if constexpr (RESIDUAL != 0) {
            float r[STORE_VECTOR];
            const size_t pixel = ((size_t)n * (OH / RESIDUAL) + oy / RESIDUAL) * (OW / RESIDUAL) + ox / RESIDUAL;
            load<RESIDUAL_T, STORE_VECTOR>(residual + pixel * O + o, r);
#pragma unroll
            for (int k = 0; k < STORE_VECTOR; k++) v[k] += r[k];
        }
#pragma unroll
        for (int k = 0; k < STORE_VECTOR; k++) v[k] = activate<ON_STORE>(v[k]);
        store<Y_T, STORE_VECTOR>(y + (((size_t)n * OH + oy) * OW + ox) * O + o, v);
#if STATISTICS
        // Of the values as stored, in deviations from the thread's first one: see RunningMoments.
#pragma unroll
        for (int k = 0; k < STORE_VECTOR; k++) {
            float stored = to_float(from_float<Y_T>(v[k]));
            if (count == 0.f) origin[k] = stored;
            float d = stored - origin[k];
            sum[k] += d;
            squares[k] = fmaf(d, d, squares[k]);
        }
        count += 1.f;
#endif
    }
#if STATISTICS
    // Threads of one column: those of a warp by shuffles, then those of all warps.
    static_assert(columns <= 32, "a warp holds whole rows");
    __shared__ float merged[3][warps][TILE_O];
#pragma unroll
    for (int k = 0; k < STORE_VECTOR; k++) {
        float mean = count == 0.f ? 0.f : __fdividef(sum[k], count);
        Moments m = {count, origin[k] + mean, fmaf(-sum[k], mean, squares[k])};
#pragma unroll
        for (int d = columns; d < 32; d *= 2)
            m = merge(m, Moments{__shfl_xor_sync(full_warp, m.count, d), __shfl_xor_sync(full_warp, m.mean, d),
                __shfl_xor_sync(full_warp, m.m2, d)});
        if (lane < columns) merged[0][warp][column + k] = m.count, merged[1][warp][column + k] = m.mean, merged[2][warp][column + k] = m.m2;
    }
    __syncthreads();
    float* const tile_partials = partials + ((size_t)n * gridDim.y + blockIdx.y) * 2 * O;
    for (int c = threadIdx.x; c < TILE_O; c += threads) {
        const int channel = blockIdx.x * TILE_O + c;
        if (channel >= O) break;
        Moments m = {merged[0][0][c], merged[1][0][c], merged[2][0][c]};
#pragma unroll
        for (int w = 1; w < warps; w++) m = merge(m, Moments{merged[0][w][c], merged[1][w][c], merged[2][w][c]});
        tile_partials[channel] = m.mean;
        tile_partials[O + channel] = m.m2;
    }
#endif
#if FINISH
    __shared__ int last;
    if (is_last_block(counters + n, gridDim.x * gridDim.y, &last)) {
        const int tiles = gridDim.y;
        const ChannelStatistics of_y = {partials + (size_t)n * tiles * 2 * O, counts, tiles, O};
        const ChannelStatistics of_x2 = {partials2 + (size_t)n * tiles2 * 2 * NORM_C2, counts2, tiles2, NORM_C2};
        const int channels = O + NORM_C2;
        group_norm_finish<FILM>(of_y, of_x2, gamma, beta, film + (size_t)n * 2 * channels, epsilon, groups,
            norm_affine + (size_t)n * 2 * channels);
    }
#endif
}
#endif

#ifdef CONV2D_PACK
// conv2d_pack   The weights of conv2d_forward in the order in which it copies them:
// packed [chunk][ky][kx][o < PADDED_O][CHUNK channels] in the compute type, zero beyond O and C.
// TRANSPOSE: those of the gradient of the input, whose taps are flipped and whose channels change places.
// weight [O,K,K,C] of W_T, or [C,K,K,O] with TRANSPOSE; packed '='.  grid ceil(elements / 256), block 256.  Deterministic.
typedef COMPUTE_T Compute;

extern "C" __global__ void conv2d_pack(const W_T* __restrict__ weight, Compute* __restrict__ packed, int elements, int o_arg,
    int padded_o_arg, int c_arg) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i >= elements) return;
    int k = i % CHUNK, rest = i / CHUNK;
    int o = rest % PADDED_O;
    rest /= PADDED_O;
    int tap = rest % (KERNEL_SIZE * KERNEL_SIZE);
    int c = rest / (KERNEL_SIZE * KERNEL_SIZE) * CHUNK + k;
    float w = 0.f;
    if (o < O && c < C)
        w = to_float(TRANSPOSE ? weight[((size_t)c * KERNEL_SIZE * KERNEL_SIZE + KERNEL_SIZE * KERNEL_SIZE - 1 - tap) * O + o]
                               : weight[((size_t)o * KERNEL_SIZE * KERNEL_SIZE + tap) * C + c]);
#if ROUND_TF32
    packed[i] = __uint_as_float(round_to_tf32(w));
#else
    packed[i] = from_float<Compute>(w);
#endif
}
#endif

#ifdef CONV2D_GRAD_WEIGHT
// conv2d_grad_weight   dw[o, ky, kx, c] = sum over images and output pixels of dy[n, oy, ox, o] * x[n, oy S + ky - P, ox S + kx - P, c].
// x [N,H,W,C], dy [N,OH,OW,O], partial [gridDim.z,O,K,K,C] float32: a block sums the pixel tiles blockIdx.z, + gridDim.z, ..
// grid (ceil(C / chunk), ceil(O / TILE_O) * K / TAP_ROWS, parts), block 128 (2 on a multiprocessor: left alone, the compiler spills to
// fit 3), shared memory two patches of x and of dy.
// partial '='; conv2d_grad_weight_sum adds the parts.  Deterministic.
namespace {

typedef COMPUTE_T Compute;

constexpr int threads = 128, warps_c = 4 / WARPS_O;
constexpr int gradient_units = TILE_O / unit_elements<Compute>, chunk = UNITS * unit_elements<Compute>;

typedef Patch<Compute, X_T, X_T, KERNEL_SIZE, STRIDE, SPREAD_NONE, TILE_H, TILE_W, UNITS, VECTOR, 0, 0,
    ACTIVATION_NONE, threads> InputPatch;
typedef Patch<Compute, DY_T, DY_T, 1, 1, SPREAD_NONE, TILE_H, TILE_W, gradient_units, DY_VECTOR, 0, 0,
    ACTIVATION_NONE, threads> GradientPatch;
typedef GradTile<Compute, InputPatch, GradientPatch, TILE_O / WARPS_O, chunk / warps_c, TAP_ROWS, KERNEL_SIZE> Tile;

}  // namespace

extern "C" __global__ void __launch_bounds__(threads, 2) conv2d_grad_weight(
    const X_T* __restrict__ x, const DY_T* __restrict__ dy, float* __restrict__ partial,
    int n_arg, int h_arg, int w_arg, int c_arg, int oh_arg, int ow_arg, int o_arg, int padding_arg) {
    extern __shared__ uint4 memory[];
    constexpr int buffer_bytes = InputPatch::bytes + GradientPatch::bytes;
    const u32 shared = shared_address(memory);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int warp_o = warp % WARPS_O * (TILE_O / WARPS_O), warp_c = warp / WARPS_O * (chunk / warps_c);
    const int tap_groups = KERNEL_SIZE / TAP_ROWS;
    const int c0 = blockIdx.x * chunk, o0 = (int)blockIdx.y / tap_groups * TILE_O, ky0 = (int)blockIdx.y % tap_groups * TAP_ROWS;
    const int tiles_x = (OW + TILE_W - 1) / TILE_W, tiles = tiles_x * ((OH + TILE_H - 1) / TILE_H);
    const u32 gradient = shared + InputPatch::bytes + Tile::gradient_offset(lane) + warp_o * Tile::element_bytes;
    const u32 input = shared + Tile::input_offset(lane) + warp_c * Tile::element_bytes + InputPatch::tap_offset(ky0, 0);

    InputPatch input_patch;
    GradientPatch gradient_patch;
    auto fetch = [&](int t) {
        const int n = t / tiles, y0 = t % tiles / tiles_x * TILE_H, x0 = t % tiles % tiles_x * TILE_W;
        input_patch.locate(ConvInput<X_T, X_T>{x, x, H, W, C, 0}.image(n), y0, x0, PADDING);
        gradient_patch.locate(ConvInput<DY_T, DY_T>{dy, dy, OH, OW, O, 0}.image(n), y0, x0, 0);
        input_patch.fetch(c0);
        gradient_patch.fetch(o0);
    };
    auto deposit = [&](u32 buffer) {
        input_patch.deposit(buffer, nullptr, nullptr);
        gradient_patch.deposit(buffer + InputPatch::bytes, nullptr, nullptr);
    };

    Tile tile;
    u32 buffer = 0;
    int t = blockIdx.z;
    if (t < N * tiles) {
        fetch(t);
        deposit(shared);
    }
#pragma unroll 1
    for (; t < N * tiles; t += gridDim.z) {
        __syncthreads();
        const bool more = t + (int)gridDim.z < N * tiles;
        if (more) fetch(t + gridDim.z);
#pragma unroll(Tile::unroll ? 2 : 1)
        for (int p = 0; p < TILE_H * TILE_W; p += Tile::depth)
            tile.step(gradient + buffer + GradientPatch::row_offset(p), input + buffer + InputPatch::row_offset(p));
        buffer = buffer_bytes - buffer;
        if (more) deposit(shared + buffer);
    }

    float* const part = partial + (size_t)blockIdx.z * O * KERNEL_SIZE * KERNEL_SIZE * C;
    tile.visit(lane, [&](int row, int column, int tap, float first, float second) {
        const int o = o0 + warp_o + row, c = c0 + warp_c + column;
        if (o >= O || c >= C) return;
        float* const p = part + ((size_t)o * KERNEL_SIZE * KERNEL_SIZE + ky0 * KERNEL_SIZE + tap) * C + c;
        if constexpr (VECTOR >= 2) *(float2*)p = make_float2(first, second);
        else {
            p[0] = first;
            if (c + 1 < C) p[1] = second;
        }
    });
}
#endif

#ifdef CONV2D_GRAD_WEIGHT_SUM
// conv2d_grad_weight_sum   dw[i] = sum over parts of partial[part, i].
// partial [PARTS,COUNT], dw [COUNT] float32, VECTOR neighbours a thread.  grid ceil(COUNT / (256 * VECTOR)), block 256.
// dw '='.  Deterministic: parts are added in order.
extern "C" __global__ void __launch_bounds__(256) conv2d_grad_weight_sum(
    const float* __restrict__ partial, float* __restrict__ dw, int count_arg, int parts_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float sum[VECTOR] = {};
#pragma unroll 4
    for (int part = 0; part < PARTS; part++) {
        float v[VECTOR];
        load<float, VECTOR>(partial + (size_t)part * COUNT + i, v);
#pragma unroll
        for (int k = 0; k < VECTOR; k++) sum[k] += v[k];
    }
    store<float, VECTOR>(dw + i, sum);
}
#endif
