"""What was found, as tables in Markdown with one column a potential."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase.utils.deltacodesdft import delta

from benchmarks.validation.literature import ACTIVATION_ENERGIES_EV, FREQUENCIES
from benchmarks.validation.run import read_results
from benchmarks.validation.statistics import Rows, common, differences, failed, failures, with_numbers
from tribond.errors import DataError
from tribond.simulation.diffusion import Arrhenius, arrhenius

Results = Mapping[str, Rows]  # of one section, by potential
WORST = 6
CLOSE = 20.0  # per cent


def read_section(folders: list[Path], section: str) -> Results:
    """Results of the potentials that have some."""
    found = {folder.name: read_results(folder / section) for folder in folders}
    return {name: rows for name, rows in found.items() if rows}


def markdown(folders: list[Path]) -> str:
    """Tables of all sections that there are."""
    tables = {
        "elements": elements,
        "moduli": moduli,
        "heat_capacity": heat_capacity,
        "bands": bands,
        "lithium": lithium,
    }
    parts = []
    for section, table in tables.items():
        results = read_section(folders, section)
        if results:
            parts.append(table(results))
    return "\n\n".join(parts)


def elements(results: Results) -> str:
    """Equations of state of the elements."""
    names = common(results)
    rows = _counts(results, names)
    rows |= _errors(results, names, "V0", "V0_A3_per_atom", "%")
    rows |= _errors(results, names, "B0", "B0_GPa", "%")
    rows |= _errors(results, names, "B0", "B0_GPa", "GPa", median=False)
    deltas = {name: _deltas(found, names) for name, found in results.items()}
    rows["Δ of the two curves, median"] = {name: f"{np.median(found):.1f} meV/atom" for name, found in deltas.items()}
    rows["V0 farthest off, %"] = {name: _worst(found, names, "V0_A3_per_atom") for name, found in results.items()}
    rows["B0 farthest off, %"] = {name: _worst(found, names, "B0_GPa") for name, found in results.items()}
    return _table(f"{len(names)} elemental crystals", list(results), rows)


def moduli(results: Results) -> str:
    """Bulk and shear moduli of binary crystals."""
    names = common(results)
    rows = _counts(results, names)
    for label, quantity in (("bulk modulus", "bulk_modulus_GPa"), ("shear modulus", "shear_modulus_GPa")):
        rows |= _errors(results, names, label, quantity, "%")
        rows |= _errors(results, names, label, quantity, "GPa", median=False)
        rows[f"{label} within {CLOSE:.0f} %"] = {
            name: f"{100 * np.mean(np.abs(differences(found, names, quantity, relative=True)) < CLOSE):.0f} %"
            for name, found in results.items()
        }
    return _table(f"elastic moduli of {len(names)} binary crystals", list(results), rows)


def heat_capacity(results: Results) -> str:
    """Heat capacities at 300 K."""
    names = common(results)
    quantity = "heat_capacity_300K_J_per_K_per_mol_atoms"
    rows = _counts(results, names)
    rows |= _errors(results, names, "C_V", quantity, "%")
    rows |= _errors(results, names, "C_V", quantity, "J/K", median=False)
    rows["crystals with imaginary modes"] = {
        name: str(sum(found[it]["imaginary_modes"] > 0 for it in names if not failed(found[it])))
        for name, found in results.items()
    }
    rows["C_V farthest off, %"] = {name: _worst(found, names, quantity) for name, found in results.items()}
    return _table(f"C_V at 300 K of {len(names)} binary crystals, per mole of atoms", list(results), rows)


def bands(results: Results) -> str:
    """Frequencies at Γ, X and L next to measured ones, and their mean ratio to these."""
    rows: dict[str, dict[str, str]] = {}
    ratios: dict[str, dict[str, list[float]]] = {}
    for it in FREQUENCIES:
        label = f"{it.crystal}, {it.point} {it.branch}"
        rows[label] = {"measured": f"{it.THz:.2f}"}
        for name, found in results.items():
            row = found.get(it.crystal, {"error": {}})
            if failed(row):
                continue
            value = float(np.mean([row["points_THz"][it.point][mode] for mode in it.modes]))
            rows[label][name] = f"{value:.2f}"
            ratios.setdefault(it.crystal, {}).setdefault(name, []).append(value / it.THz)
    for crystal, by_model in ratios.items():
        if max(len(values) for values in by_model.values()) > 1:
            rows[f"{crystal}, mean ratio"] = {"measured": "1"} | {
                name: f"{np.mean(values):.2f}" for name, values in by_model.items()
            }
    return _table("phonons, THz", ["measured", *results], rows)


def lithium(results: Results) -> str:
    """Diffusion coefficients and the activation energy."""
    rows: dict[str, dict[str, str]] = {}
    for name in sorted(common(results), key=lambda it: int(it.removesuffix("K"))):
        for model, found in results.items():
            row = found[name]
            if failed(row):
                rows.setdefault(f"D at {name}, 1e-5 cm²/s", {})[model] = "failed"
                continue
            lithium, others = row["lithium"], row["others"]
            value, error = 1e5 * lithium["coefficient_cm2_per_s"], 1e5 * lithium["error_cm2_per_s"]
            rows.setdefault(f"D at {name}, 1e-5 cm²/s", {})[model] = f"{value:.2f} ± {error:.2f}"
            moved = others["msd_at_the_end_of_the_fit_A2"]
            rows.setdefault(f"other atoms at {name}, Å²", {})[model] = f"{moved:.2f}"
            pressure = row["means_of_the_run"]["mean_pressure_GPa"]
            rows.setdefault(f"mean pressure at {name}, GPa", {})[model] = f"{pressure:.1f}"
    rows["activation energy, eV"] = {model: _activation(found) for model, found in results.items()}
    published = ", ".join(f"{source} {energy:g}" for source, energy in ACTIVATION_ENERGIES_EV.items())
    return _table(f"Li in Li10GeP2S12 (published: {published} eV)", list(results), rows)


def arrhenius_of(rows: Rows) -> Arrhenius:
    """The fit over the temperatures of one potential.

    Raises:
        DataError: for fewer than three temperatures at which Li diffuses.
    """
    good = [row for row in rows.values() if not failed(row)]
    return arrhenius(
        [row["reference"]["temperature_K"] for row in good],
        [row["lithium"]["coefficient_cm2_per_s"] for row in good],
        [row["lithium"]["error_cm2_per_s"] for row in good],
    )


def _activation(rows: Rows) -> str:
    try:
        found = arrhenius_of(rows)
    except DataError as error:
        return str(error)
    return f"{found.activation_energy_eV:.3f} ± {found.activation_energy_error_eV:.3f}"


def _counts(results: Results, names: list[str]) -> dict[str, dict[str, str]]:
    rows: dict[str, dict[str, str]] = {"without a number": {}}
    for model, found in results.items():
        counted = failures(found, names)
        listed = ", ".join(f"{why} {number}" for why, number in counted.most_common())
        rows["without a number"][model] = f"{counted.total()} ({listed})" if counted else "0"
    return rows


def _errors(
    results: Results, names: list[str], label: str, quantity: str, unit: str, *, median: bool = True
) -> dict[str, dict[str, str]]:
    """Medians over all crystals, those without a number counted as far off; means over those where all have numbers."""
    relative = unit == "%"
    both = with_numbers(results, names)
    rows: dict[str, dict[str, str]] = {}
    for model, found in results.items():
        everywhere = np.abs(differences(found, names, quantity, relative=relative))
        errors = differences(found, both, quantity, relative=relative)
        if median:
            rows.setdefault(f"{label}, median error", {})[model] = f"{np.median(everywhere):.1f} {unit}"
        if not median or quantity == "V0_A3_per_atom":
            rows.setdefault(f"{label}, mean error ({len(both)})", {})[model] = f"{np.abs(errors).mean():.1f} {unit}"
            rows.setdefault(f"{label}, bias ({len(both)})", {})[model] = f"{errors.mean():+.1f} {unit}"
    return rows


def _deltas(rows: Rows, names: list[str]) -> list[float]:
    """The DeltaCodes project's area between two E(V), symmetric in both; meV/atom."""
    found = []
    for name in names:
        row = rows[name]
        if failed(row):
            found.append(np.inf)
            continue
        reference = row["reference"]
        mine, theirs = ((it["V0_A3_per_atom"], it["B0_GPa"] / 160.21766208, it["B0_prime"]) for it in (row, reference))
        found.append(1000 * float(delta(*mine, *theirs)))
    return found


def _worst(rows: Rows, names: list[str], quantity: str) -> str:
    good = [name for name in names if not failed(rows[name])]
    errors = dict(zip(good, differences(rows, good, quantity, relative=True), strict=True))
    far = sorted(errors, key=lambda name: -abs(errors[name]))[:WORST]
    return ", ".join(f"{rows[name]['reference'].get('formula', name)} {errors[name]:+.0f}" for name in far)


def _table(title: str, columns: list[str], rows: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f"| {title} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    lines += [f"| {label} | {' | '.join(row.get(it, '–') for it in columns)} |" for label, row in rows.items()]
    return "\n".join(lines)
