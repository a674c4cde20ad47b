// Kernels that go over many tensors in one launch: a table of tensors and a table of pieces of them, one for each block.
#pragma once
#include "common.cuh"

// Elements `first` to `first + count - 1` of a tensor, count <= PIECE; `first` is a multiple of PIECE.
struct Piece {
    int tensor, first, count;
};

constexpr int PIECE = 4096;
