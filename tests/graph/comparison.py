"""When two graphs are the same."""

from dataclasses import fields

import torch

from tribond.graph.atom_graph import AtomGraph


def assert_identical(a: AtomGraph, b: AtomGraph) -> None:
    """Atoms, cells and bonds in their order, and everything else, to the last bit."""
    for field in fields(AtomGraph):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if one is None or other is None:
            assert one is other
        else:
            assert one.dtype == other.dtype
            assert torch.equal(one, other), field.name
