"""Vectors in a quarter of their size: a byte for each number, as they are kept in stores and in memory.

The numbers of a vector are multiplied so that the largest is 127, and rounded. Its length is no longer 1, but
can be had from the numbers; cosines differ from those before by some thousandths at most.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from antiphon.retrieval.embedder import Vectors

try:
    import simsimd
except ImportError:  # where there is no build of it
    simsimd = None  # type: ignore[assignment]

Packed: TypeAlias = NDArray[np.int8]
"""A row for each vector."""

_MOST = 127
_BLOCK = 512
"""Rows that numpy multiplies in one go: as floats they stay in the processor's cache, and are too few for
threads of the BLAS library, which wait for each other busily."""


def packed(vectors: Vectors) -> Packed:
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    factors = np.divide(_MOST, largest, out=np.zeros_like(largest), where=largest > 0)
    rows: Packed = np.rint(vectors * factors).astype(np.int8)
    return rows


def from_bytes(data: bytes, dimension: int) -> Packed:
    """Vectors that were kept one behind another."""
    return np.frombuffer(data, np.int8).reshape(-1, dimension)


def inverse_lengths(rows: Packed) -> NDArray[np.float32]:
    """What makes each row one of the length 1; 0 for a row of zeros."""
    inverse = np.zeros(len(rows), np.float32)
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK].astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", block, block))
        np.divide(1, lengths, out=inverse[begin : begin + _BLOCK], where=lengths > 0)
    return inverse


def products(rows: Packed, question: Packed) -> NDArray[np.float32]:
    """Of each row with one vector. Exact: whole numbers below 2^24, up to 1,040 of the largest each."""
    if simsimd is None:
        return products_in_numpy(rows, question)
    found = np.asarray(simsimd.cdist(question[None], rows, metric="dot", out_dtype="float32"), np.float32)
    return found.reshape(len(rows))


def signs(rows: Packed) -> Packed:
    """A bit for each number: whether it is above 0."""
    return np.packbits(rows > 0, axis=1).view(np.int8)


def differing(rows: Packed, question: Packed) -> NDArray[np.float32]:
    """In how many signs each row differs from one of them."""
    bits, asked = rows.view(np.uint8), question.view(np.uint8)
    if simsimd is None:
        return differing_in_numpy(rows, question)
    found = simsimd.cdist(asked[None], bits, metric="hamming", dtype="bin8", out_dtype="float32")
    return np.asarray(found, np.float32).reshape(len(rows))


def differing_in_numpy(rows: Packed, question: Packed) -> NDArray[np.float32]:
    """Many times slower."""
    found = np.empty(len(rows), np.float32)
    for begin in range(0, len(rows), _BLOCK):
        block = (rows[begin : begin + _BLOCK] ^ question).view(np.uint8)
        found[begin : begin + _BLOCK] = np.unpackbits(block, axis=1).sum(axis=1)
    return found


def products_in_numpy(rows: Packed, question: Packed) -> NDArray[np.float32]:
    """Some four times slower."""
    found = np.empty(len(rows), np.float32)
    numbers = question.astype(np.float32)
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK].astype(np.float32)
        np.dot(block, numbers, out=found[begin : begin + _BLOCK])
    return found
