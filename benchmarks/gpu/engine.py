"""The Triton kernels on a GPU: errors of every dialect against float64 on the CPU, then times, memory and dynamics.

Run it as ``python benchmarks/gpu/engine.py``; see engine.sh. Ends with status 1 if a dialect differs by more than
1e-6 eV/atom or 1e-5 eV/Å in a precision that claims to be float32.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

import tribond
from tribond.backends import chunked
from tribond.backends.bond_sums import sum_forces
from tribond.backends.cuda_graph import CapturedStep
from tribond.backends.triton import network
from tribond.backends.triton.weights import Precision, Weights
from tribond.graph.atom_graph import AtomGraph
from tribond.graph.build import atom_graph
from tribond.graph.skin import VerletGraph
from tribond.models.potential import _differentiate
from tribond.nn.config import PRESETS, preset
from tribond.nn.m3gnet import M3GNet

ENERGY_TOLERANCE = 1e-6  # eV/atom
FORCE_TOLERANCE = 1e-5  # eV/Å
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in PRESETS} | {
    "matgl_dgl, use_smooth": ("matgl_dgl", {"edge_basis": "smooth", "angle_radial_basis": "smooth"}),
    "atoms first, silu, neighbour": (
        "m3gnet_pytorch",
        {"atom_gate_activation": "silu", "message_target": "neighbour"},
    ),
    "widths 48, 24, 40": ("paper", {"node_features": 48, "edge_features": 24, "update_hidden": (40,)}),
}
PRECISIONS: tuple[Precision, ...] = ("fp16x3", "tf32x3", "tf32")
STEPS = 50  # of dynamics


def random_model(name: str, seed: int, dtype: torch.dtype) -> M3GNet:
    """Random weights; gates wide enough open that every part of the network matters."""
    base, changes = CASES[name]
    torch.manual_seed(seed)
    model = M3GNet(preset(base, **changes), dtype)
    if not model.config.edge_gate_bias:
        with torch.no_grad():
            for parameter, weight in model.named_parameters():
                if parameter.endswith("weight") and "embedding" not in parameter:
                    weight.mul_(2)
    rows = range(len(model.config.elements))
    model.reference_energy.set(scale=[2.0 + 0.02 * row for row in rows], reference=[-1.0 - 0.1 * row for row in rows])
    return model


def structures() -> AtomGraph:
    """A batch of every kind of structure, rattled at random."""
    kinds = [
        bulk("Si", cubic=True).repeat(2),
        bulk("NaCl", "rocksalt", 5.64, cubic=True),
        bulk("Cu"),
        molecule("CH3CH2OH"),
        Atoms("Xe"),
        Atoms("SiO", positions=[[0, 0, 0], [1.4, 2.3, 3.2]]),
    ]
    for seed, atoms in enumerate(kinds):
        atoms.rattle(0.05, seed=seed)
    return AtomGraph.batch([atom_graph(atoms, 5.0, 4.0) for atoms in kinds])


def errors(name: str, precision: Precision) -> tuple[float, float, float]:
    """Greatest difference of a system's energy, per atom, and of a force component; and the greatest force."""
    torch.set_num_threads(1)
    graph = structures()
    double = random_model(name, 0, torch.float64)
    single = M3GNet(double.config, torch.float32)
    single.load_state_dict(double.state_dict())
    # The reference has the rounded weights, too: the arithmetic is what is compared.
    double.load_state_dict(single.state_dict())
    want, gradient = chunked.energy_and_gradient(double, graph.edge_vectors(), graph)
    expected = sum_forces(gradient, graph.edge_index, torch.zeros_like(graph.positions))
    there = graph.to("cuda")
    single = single.cuda()
    energies, found = network.energy_and_gradient(single, there.edge_vectors(), there, precision=precision)
    # The same as a CUDA graph: recorded at other positions, with places left over.
    elsewhere = replace(there, positions=there.positions + 0.01 * torch.randn_like(there.positions))
    step = CapturedStep(single, elsewhere, precision=precision)(there.positions)
    energy_error = force_error = 0.0
    for got, acting in (
        (energies, sum_forces(found, there.edge_index, torch.zeros_like(there.positions))),
        (step.atomic_energies, step.forces),
    ):
        difference = double.system_energies(got.cpu() - want, graph) / graph.atoms_per_system()
        energy_error = max(energy_error, difference.abs().max().item())
        force_error = max(force_error, (acting.cpu() - expected).abs().max().item())
    return energy_error, force_error, expected.abs().max().item()


def check(precisions: list[Precision]) -> bool:
    """Print the errors of all dialects in these precisions, of one in the others; False if one is too large."""
    fine = True
    jobs = [(name, precision) for precision in precisions for name in CASES]
    jobs += [("paper", precision) for precision in PRECISIONS if precision not in precisions]
    print("| dialect | precision | energy, eV/atom | force, eV/Å | greatest force |\n|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")  # every process compiles for itself: that takes the time
    with ProcessPoolExecutor(16, mp_context=context) as pool:
        futures = {pool.submit(errors, *job): job for job in jobs}
        for future in as_completed(futures):
            name, precision = futures[future]
            try:
                energy, force, largest = future.result()
            except Exception as error:  # noqa: BLE001 - the other cases shall be seen, too
                print(f"| {name} | {precision} | failed: {error!r:.300} |", flush=True)
                fine = False
                continue
            bad = precision != "tf32" and not (energy < ENERGY_TOLERANCE and force < FORCE_TOLERANCE)
            fine &= not bad
            print(
                f"| {name} | {precision} | {energy:.1e} | {force:.1e}{' !' if bad else ''} | {largest:.2g} |",
                flush=True,
            )
    return fine


def diamond(repeat: int, device: str = "cuda") -> AtomGraph:
    """`repeat`³ cubic cells of silicon, rattled by 0.02 Å; the bonds are those of one cell, repeated on the device."""
    cell = atom_graph(bulk("Si", cubic=True), 5.0, 4.0).to(device)
    number = torch.arange(repeat**3, device=device)
    place = torch.stack([number // repeat**2, number // repeat % repeat, number % repeat], dim=1)  # (cells, 3)
    size = cell.num_atoms
    centre, neighbour = cell.edge_index
    across = place[:, None, :] + cell.cell_shifts.long()  # (cells, bonds, 3)
    inside, shifts = across % repeat, across.div(repeat, rounding_mode="floor")
    cell_of_neighbour = (inside * torch.tensor([repeat**2, repeat, 1], device=device)).sum(2)
    edge_index = torch.stack([number[:, None] * size + centre, cell_of_neighbour * size + neighbour]).flatten(1)
    positions = (place.double()[:, None, :] @ cell.cell[0] + cell.positions).reshape(-1, 3)
    generator = torch.Generator(device).manual_seed(0)
    positions += 0.02 * torch.randn(positions.shape, generator=generator, device=device, dtype=torch.float64)
    bond = torch.arange(edge_index.shape[1], device=device).view(-1, cell.num_edges)
    return AtomGraph(
        positions=positions,
        atomic_numbers=cell.atomic_numbers.repeat(repeat**3),
        system_index=cell.system_index.repeat(repeat**3),
        cell=cell.cell * repeat,
        pbc=cell.pbc,
        edge_index=edge_index,
        cell_shifts=shifts.flatten(0, 1).double(),
        angle_edges=bond[:, cell.angle_edges].flatten(),
    )


def measure(prepare: Callable[[], Callable[[], Any]], seconds: float = 0.7) -> tuple[float, float]:
    """Median time of a call of what `prepare` makes, ms, and peak of all memory in use, GiB."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run = prepare()
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begin < seconds and len(times) < 100):
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times), torch.cuda.max_memory_allocated() / 2**30


def ways(
    model: M3GNet, graph: AtomGraph, precision: Precision, baseline: bool
) -> dict[str, Callable[[], Callable[[], Any]]]:
    """What makes a function that evaluates once, by name; the large ones only where they fit."""
    vectors = graph.edge_vectors()

    def autograd() -> Callable[[], Any]:
        return lambda: _differentiate(model, vectors, graph, create_graph=False)

    def in_chunks() -> Callable[[], Any]:
        return lambda: chunked.energy_and_gradient(model, vectors, graph)

    def triton() -> Callable[[], Any]:
        weights = Weights.of(model, precision)
        return lambda: network.energy_and_gradient(model, vectors, graph, precision=precision, weights=weights)

    def captured() -> Callable[[], Any]:
        step = CapturedStep(model, graph, precision=precision)
        return lambda: step(graph.positions)

    found: dict[str, Callable[[], Callable[[], Any]]] = {"Triton": triton}
    if graph.num_atoms < 300_000:
        found["CUDA graph, forces, virial"] = captured
    if baseline and graph.num_atoms < 50_000:
        found["automatic differentiation"] = autograd
    if baseline and graph.num_atoms < 300_000:
        found["in chunks"] = in_chunks
    return found


def speed(model: M3GNet, repeats: list[int], precision: Precision, baseline: bool) -> None:
    """Print times of silicon: energies of atoms and dE/dr; where it is said, also forces and virial."""
    print(f"\n{precision}\n\n| atoms | way | ms | million atom-steps/s | GiB |\n|---:|---|---:|---:|---:|")
    for repeat in repeats:
        graph = diamond(repeat)
        for name, prepare in ways(model, graph, precision, baseline).items():
            try:
                ms, gib = measure(prepare)
            except torch.OutOfMemoryError as error:
                print(f"| {graph.num_atoms} | {name} | {error!s:.100} |", flush=True)
                continue
            rate = graph.num_atoms / ms / 1000
            print(f"| {graph.num_atoms} | {name} | {ms:.3f} | {rate:.3f} | {gib:.2f} |", flush=True)
        del graph


def dynamics(potential: tribond.Potential, repeats: Sequence[int]) -> bool:
    """Print what a step of Langevin dynamics in ASE takes; False if a kept list gives another graph than a fresh one."""
    print(
        "\ndynamics in ASE, 600 K, 1 fs\n\n| atoms | step, ms | of it the graph, ms | graphs as fresh ones |\n|---:|---:|---:|---|"
    )
    cutoffs = (potential.config.cutoff, potential.config.threebody_cutoff)
    fine = True
    for repeat in repeats:
        atoms = bulk("Si", cubic=True).repeat(repeat)
        random = np.random.RandomState(0)
        MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=random)
        atoms.calc = tribond.Calculator(potential)
        run = Langevin(atoms, 1 * units.fs, temperature_K=600, friction=0.01 / units.fs, rng=random)
        frames: list[Atoms] = []
        run.run(5)
        run.attach(lambda frames=frames, atoms=atoms: frames.append(atoms.copy()))
        start = time.perf_counter()
        run.run(STEPS)
        step = (time.perf_counter() - start) / STEPS
        kept = VerletGraph(*cutoffs, device=potential.device)
        start = time.perf_counter()
        graphs = [kept(frame) for frame in frames]  # every one waits for the device
        graph = (time.perf_counter() - start) / len(frames)
        fresh = atom_graph(frames[-1], *cutoffs)
        same = all(
            torch.equal(getattr(graphs[-1], name).cpu(), getattr(fresh, name))
            for name in ("positions", "edge_index", "cell_shifts", "angle_edges")
        )
        fine &= same
        print(f"| {len(atoms)} | {1000 * step:.3f} | {1000 * graph:.3f} | {'yes' if same else 'no !'} |", flush=True)
    return fine


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--repeats", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 50])
    parser.add_argument("--precisions", nargs="*", default=["fp16x3"])
    parser.add_argument("--no-baseline", action="store_true")
    arguments = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n", flush=True)
    fine = arguments.no_check or check(arguments.precisions)
    potential = tribond.load_potential("default", device="cuda", dtype="float32")
    for precision in arguments.precisions:
        speed(potential.model, arguments.repeats, precision, not arguments.no_baseline)
    fine &= dynamics(potential, [repeat for repeat in arguments.repeats if 1 < repeat <= 8])
    sys.exit(not fine)


if __name__ == "__main__":
    main()
