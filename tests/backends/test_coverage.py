"""Every backend says of every field of a config which values it computes."""

from dataclasses import fields, replace
from typing import Literal, get_args, get_origin

import pytest

from tests.small_models import small_config
from tribond.backends import chunked, native, trainable
from tribond.backends.coverage import ANY, NOT_READ, Coverage
from tribond.nn.config import PRESETS, M3GNetConfig

COVERAGES = {"native": native.COVERAGE, "trainable": trainable.COVERAGE, "chunked": chunked.COVERAGE}
try:
    from tribond.backends import cuda_graph
    from tribond.backends.triton import network
except ImportError:
    pass  # without Triton
else:
    COVERAGES |= {"triton": network.COVERAGE, "cuda_graph": cuda_graph.COVERAGE}
CHOICES = {field.name for field in fields(M3GNetConfig) if get_origin(field.type) is Literal or field.type is bool}


@pytest.fixture(params=COVERAGES)
def coverage(request) -> Coverage:
    return COVERAGES[request.param]


@pytest.mark.parametrize("field", [field.name for field in fields(M3GNetConfig)])
def test_every_field_stands_in_every_table(coverage, field):
    """A new field: say in the module of each backend which of its values it computes, or NOT_READ."""
    assert field in coverage.table


def test_no_table_knows_fields_that_there_are_not(coverage):
    assert coverage.table.keys() == {field.name for field in fields(M3GNetConfig)}


def test_choices_are_named_one_by_one(coverage):
    """So that a new value of an old field is not taken for computed."""
    for name in CHOICES:
        assert coverage.table[name] not in {ANY, NOT_READ}, name
        assert not coverage.table[name].holds("a new value")


def test_what_is_not_known_is_named(coverage):
    shorter = replace(
        coverage, table={name: values for name, values in coverage.table.items() if name != "block_order"}
    )
    assert list(shorter.missing(small_config())) == [f"{coverage.name} does not know block_order"]
    (said,) = coverage.missing(small_config(readout="mean"))
    assert said == f"{coverage.name} computes readout with 'extensive', not 'mean'"


@pytest.mark.parametrize("name", PRESETS)
def test_every_published_dialect_is_computed(coverage, name):
    assert coverage.computes(small_config(name))
    for field in fields(M3GNetConfig):
        if get_origin(field.type) is Literal and field.name not in {"readout", "state", "bodies"}:
            for value in get_args(field.type):
                assert coverage.computes(replace(small_config(name), **{field.name: value}))


def test_four_bodies_are_left_to_automatic_differentiation(coverage):
    (said,) = coverage.missing(small_config(bodies=4))
    assert said == f"{coverage.name} computes bodies with 3, not 4"


def test_limits_of_the_kernels():
    wide = small_config(node_features=512)
    deep = small_config(update_hidden=(16, 16, 16))
    assert native.COVERAGE.computes(wide)
    assert native.COVERAGE.computes(deep)
    assert not native.COVERAGE.computes(small_config(update_hidden=()))
    assert not native.COVERAGE.computes(small_config(readout_hidden=()))
    if "triton" in COVERAGES:
        assert not network.COVERAGE.computes(wide)
        assert not network.COVERAGE.computes(deep)
        assert list(network.COVERAGE.missing(small_config(max_n=8, max_l=4)))
