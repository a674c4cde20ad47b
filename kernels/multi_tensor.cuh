// Kernels that go over many tensors in one launch: a table of tensors and a table of pieces of them, one for each block.
#pragma once
#include "common.cuh"

// Elements `first` to `first + count - 1` of a tensor, count <= piece_elements; `first` is a multiple of it.
struct Piece {
    int tensor, first, count;
};

constexpr int piece_elements = 4096;
