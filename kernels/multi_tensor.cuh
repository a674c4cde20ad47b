// Kernels that go over all parameters in one launch, with a table of pieces of them, one for each block.
#pragma once
#include "common.cuh"

// Elements `first` to `first + count - 1` of the array that all parameters lie in; `first` is a multiple of 64, and
// count <= piece_elements.
struct Piece {
    int first, count;
};

constexpr int piece_elements = 4096;
