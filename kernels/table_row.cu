#include "common.cuh"

#ifdef TABLE_ROW_FORWARD
// table_row_forward   y[copy] = table[step], the nearest row for a step outside the table.
// table [ROWS, WIDTH], step [1], y [COUNT] = [copies, WIDTH].  VECTOR divides WIDTH.
// grid ceil(COUNT / (256 * VECTOR)), block 256.  y '='.  Deterministic.
extern "C" __global__ void table_row_forward(const T_T* __restrict__ table, const int* __restrict__ step, Y_T* __restrict__ y, int rows_arg,
    int width_arg, int count_arg) {
    int i = (blockIdx.x * 256 + threadIdx.x) * VECTOR;
    if (i >= COUNT) return;
    float v[VECTOR];
    load<T_T, VECTOR>(table + (size_t)min(max(*step, 0), ROWS - 1) * WIDTH + i % WIDTH, v);
    store<Y_T, VECTOR>(y + i, v);
}
#endif
