"""Domains with ghosts one cutoff deep, each in a thread, give together what one evaluation gives."""

import threading

import numpy as np
import pytest
from ase.build import bulk

from tests.backends.reference import VARIANTS
from tests.native import binding
from tests.small_models import random_model, small_config
from tests.structures import rattled
from tribond.checkpoints.native import save_model

pytestmark = pytest.mark.skipif(not binding.PATH.exists(), reason="tribond was installed without a C++ compiler")

CUTOFF = 5.0


def cells() -> dict:
    skewed = bulk("SiC", "zincblende", a=4.4)
    skewed.set_cell(skewed.cell @ np.array([[1, 0.1, 0], [0.05, 1, 0.1], [0, 0, 1.02]]), scale_atoms=True)
    slab = rattled(bulk("Si", cubic=True).repeat((2, 1, 1)), 0.1)
    slab.pbc = (True, True, False)
    return {
        "one atom, its own ghost many times": bulk("Cu", a=3.6),
        "skewed, smaller than the cutoff": rattled(skewed, 0.1),
        "long": rattled(bulk("Si", cubic=True).repeat((4, 1, 1)), 0.1),
        "slab": slab,
    }


def images(atoms):
    """All periodic images near enough to any atom: (which, positions), the atoms themselves first."""
    reach = [
        int(np.ceil(CUTOFF / height)) + 1 for height in 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    ]
    ranges = [range(-n, n + 1) if axis else range(1) for n, axis in zip(reach, atoms.pbc, strict=True)]
    shifts = [(0, 0, 0)] + [
        (u, v, w) for u in ranges[0] for v in ranges[1] for w in ranges[2] if (u, v, w) != (0, 0, 0)
    ]
    which = np.tile(np.arange(len(atoms)), len(shifts))
    return which, np.concatenate([atoms.positions + np.array(shift) @ atoms.cell.array for shift in shifts])


class Domain:
    """What a rank has: atoms of its own, ghosts, and edges that start at its own atoms."""

    def __init__(self, atoms, own) -> None:
        which, places = images(atoms)
        centres = atoms.positions[own]
        far = np.linalg.norm(places[None] - centres[:, None], axis=2)
        is_own = np.zeros(len(which), bool)
        is_own[own] = True
        ghosts = np.flatnonzero((far < CUTOFF).any(0) & ~is_own) if len(own) else np.zeros(0, int)
        self.own = own
        everything = np.concatenate([own, ghosts]).astype(int)
        self.who = which[everything]  # the atom that each row is, or is a copy of
        self.numbers = atoms.numbers[self.who]
        apart = places[everything][None] - centres[:, None]
        length = np.linalg.norm(apart, axis=2)
        near = length < CUTOFF + 0.7  # a skin, of edges that count nothing
        near[np.arange(len(own)), np.arange(len(own))] = False
        self.ends = np.stack(np.nonzero(near)) if len(own) else np.zeros((2, 0), int)
        self.vectors = apart[near] if len(own) else np.zeros((0, 3))


class Ranks:
    """The exchange between threads, through one array of all atoms."""

    def __init__(self, domains, atoms: int) -> None:
        self.domains, self.atoms = domains, atoms
        self.barrier = threading.Barrier(len(domains), timeout=60)
        self.calls = [[] for _ in domains]

    def functions(self, rank):
        domain = self.domains[rank]
        owned = len(domain.own)

        def forward(rows, width):
            self.calls[rank].append(("forward", width))
            self._begin(width)
            self.table[domain.own] = rows[:owned]
            self.barrier.wait()
            rows[owned:] = self.table[domain.who[owned:]]
            self.barrier.wait()
            return 0

        def reverse(rows, width):
            self.calls[rank].append(("reverse", width))
            self._begin(width)
            for turn in range(len(self.domains)):  # one after the other: the sums are the same every time
                if turn == rank:
                    np.add.at(self.table, domain.who[owned:], rows[owned:])
                self.barrier.wait()
            rows[:owned] += self.table[domain.own]
            self.barrier.wait()
            return 0

        return forward, reverse

    def _begin(self, width):
        if self.barrier.wait() == 0:
            self.table = np.zeros((self.atoms, width))
        self.barrier.wait()


def evaluate(model, atoms, parts, shuffle=None):
    domains = [Domain(atoms, np.array(part, int)) for part in parts]
    ranks, results, errors = Ranks(domains, len(atoms)), [None] * len(domains), []

    def work(rank):
        domain = domains[rank]
        try:
            results[rank] = model.graph(
                domain.numbers, len(domain.own), domain.ends, domain.vectors, ranks.functions(rank)
            )
        except Exception as error:  # noqa: BLE001 - of whatever kind, the others must not wait
            errors.append(error)
            ranks.barrier.abort()

    workers = [threading.Thread(target=work, args=(rank,)) for rank in range(len(domains))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors, errors
    assert all(calls == ranks.calls[0] for calls in ranks.calls)
    names = [name for name, _ in ranks.calls[0]]
    assert (names.count("forward"), names.count("reverse")) == (model.num_forward, model.num_reverse)
    assert max((width for _, width in ranks.calls[0]), default=0) <= model.exchange_width
    total = {"energy": 0.0, "virial": np.zeros((3, 3)), "atomic_energies": np.zeros(len(atoms))}
    total |= {"forces": np.zeros((len(atoms), 3)), "atomic_virials": np.zeros((len(atoms), 3, 3))}
    for domain, result in zip(domains, results, strict=True):
        total["energy"] += result["energy"]
        total["virial"] += result["virial"]
        total["atomic_energies"][domain.own] = result["atomic_energies"]
        np.add.at(total["forces"], domain.who, result["forces"])
        np.add.at(total["atomic_virials"], domain.who, result["atomic_virials"])
    return total


def split(count, domains):
    """Along the first axis for structures that are repeated along it: in the order of the atoms."""
    return np.array_split(np.arange(count), domains)


@pytest.fixture
def load(tmp_path):
    def make(variant, precision=0, **changes):
        name, more = VARIANTS[variant]
        model = random_model(small_config(name, **(more | changes)))
        save_model(tmp_path / "model.safetensors", model, {})
        return binding.Model(tmp_path / "model.safetensors", precision)

    return make


def assert_same(result, expected, tolerance=1e-10):
    for name in ("energy", "atomic_energies", "forces", "virial", "atomic_virials"):
        np.testing.assert_allclose(result[name], expected[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("cell", cells())
@pytest.mark.parametrize("variant", VARIANTS)
def test_domains_together_give_what_one_evaluation_gives(load, variant, cell):
    model, atoms = load(variant), cells()[cell]
    expected = model.structure(atoms)
    assert expected["energy"] != 0
    for domains in range(1, 5):
        assert_same(evaluate(model, atoms, split(len(atoms), domains)), expected)


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.parametrize("variant", ["paper", "matgl_dgl", "m3gnet_pytorch", "atoms first, with silu"])
def test_any_number_of_blocks_and_messages_to_the_neighbour_in_either_order(load, variant, blocks):
    atoms = cells()["long"]
    for target in ("centre", "neighbour"):
        model = load(variant, num_blocks=blocks, message_target=target)
        expected = model.structure(atoms)
        assert_same(evaluate(model, atoms, split(len(atoms), 3)), expected)


def test_a_rank_without_atoms_makes_the_same_calls(load):
    atoms = cells()["long"]
    for variant in ("paper", "matgl_dgl", "m3gnet_pytorch"):
        model = load(variant)
        half = len(atoms) // 2
        parts = [np.arange(half), [], np.arange(half, len(atoms))]
        assert_same(evaluate(model, atoms, parts), model.structure(atoms))


def test_in_single_precision(load):
    atoms = cells()["long"]
    model = load("paper", 4)
    assert_same(evaluate(model, atoms, split(len(atoms), 3)), model.structure(atoms), tolerance=2e-5)


def test_an_exchange_without_ghosts_changes_nothing_by_a_bit(load):
    model = load("paper")
    positions = np.array([[0, 0, 0], [2.4, 0, 0], [0, 2.5, 0.1]])
    ends = np.array([[i, j] for i in range(3) for j in range(3) if i != j]).T
    vectors = positions[ends[1]] - positions[ends[0]]
    expected = model.graph(np.array([14, 14, 14]), 3, ends, vectors)
    nothing = (lambda *_: 0,) * 2
    result = model.graph(np.array([14, 14, 14]), 3, ends, vectors, nothing)
    for name, value in expected.items():
        assert np.array_equal(result[name], value, equal_nan=True)


def test_ghosts_as_deep_as_all_blocks_need_no_exchange(load):
    """As in codes that fetch nothing between blocks: the same energies, and forces after ghosts gave theirs back."""
    model = load("paper", num_blocks=2)
    atoms = rattled(bulk("Cu", a=3.6), 0.1)
    _, places = images(atoms)
    more = [places + shift for shift in (np.zeros(3), *atoms.cell.array, *-atoms.cell.array)]
    places, first = np.unique(np.round(np.concatenate(more), 9), axis=0, return_index=True)
    deep = np.argsort(first)
    places = places[deep]
    places = places[np.linalg.norm(places - atoms.positions[0], axis=1) < 2 * CUTOFF]
    places = places[np.argsort(np.linalg.norm(places - atoms.positions[0], axis=1))]
    apart = places[None] - places[:, None]
    length = np.linalg.norm(apart, axis=2)
    near = (length < CUTOFF) & (length > 0)
    ends = np.stack(np.nonzero(near))
    result = model.graph(np.full(len(places), 29), 1, ends, apart[near])
    expected = model.structure(atoms)
    np.testing.assert_allclose(result["energy"], expected["energy"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(result["virial"], expected["virial"], rtol=0, atol=1e-9)


def test_an_exchange_that_fails_ends_the_evaluation(load):
    model, atoms = load("matgl_dgl"), cells()["long"]
    domain = Domain(atoms, np.arange(4))
    for function in range(2):
        failing = [lambda *_: 0, lambda *_: 0]
        failing[function] = lambda *_: 1
        with pytest.raises(binding.LibraryError, match="exchange") as caught:
            model.graph(domain.numbers, 4, domain.ends, domain.vectors, tuple(failing))
        assert caught.value.code == binding.EXCHANGE_FAILED


def test_an_edge_of_a_ghost_is_refused_with_an_exchange(load):
    model = load("paper")
    nothing = (lambda *_: 0,) * 2
    with pytest.raises(binding.LibraryError, match="starts at the ghost 1"):
        model.graph(np.array([14, 14]), 1, np.array([[0, 1], [1, 0]]), np.array([[2.4, 0, 0], [-2.4, 0, 0]]), nothing)
