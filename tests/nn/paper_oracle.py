"""M3GNet in numpy, bond by bond and angle by angle, written down from the equations and not from the package.

Chen & Ong, Nat. Comput. Sci. 2, 718 (2022), with what each published code does differently. Only the weights are the
package's; bases, envelopes, gates, sums and their order are stated here a second time.
"""

from functools import cache
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq
from scipy.special import eval_legendre, spherical_jn


def silu(x):
    return x / (1 + np.exp(-x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def smooth_basis(r: float, max_n: int, cutoff: float) -> np.ndarray:
    """h_m(r) of (10)-(15) by the recursion over functions.  (max_n,)."""

    def sinc(x):
        return np.sin(x) / x

    h, d = [], []
    for m in range(max_n):
        a, b = m + 1, m + 2
        norm = (-1) ** m * np.sqrt(2) * np.pi / cutoff**1.5 * a * b / np.sqrt(a**2 + b**2)
        f = norm * (sinc(r * a * np.pi / cutoff) + sinc(r * b * np.pi / cutoff))
        e = m**2 * (m + 2) ** 2 / (4 * (m + 1) ** 4 + 1)
        d.append(1 - e / d[-1] if m else 1.0)
        h.append((f + np.sqrt(e / d[-2]) * h[-1]) / np.sqrt(d[-1]) if m else f)
    return np.array(h)


@cache
def bessel_roots(l: int, count: int) -> list[float]:
    """The first positive roots of j_l, found by walking along it."""
    walk = np.arange(0.5, (count + l + 2) * np.pi, 0.01)
    signs = np.sign(spherical_jn(l, walk))
    crossings = [(a, b) for (a, b), (s, t) in zip(pairwise(walk), pairwise(signs), strict=True) if s * t < 0]
    return [brentq(lambda x: spherical_jn(l, x), a, b, xtol=1e-13) for a, b in crossings[:count]]


def bessel_basis(r: float, max_n: int, max_l: int, cutoff: float) -> np.ndarray:
    """√(2/r_c³) j_l(z_ln r/r_c) / |j_{l+1}(z_ln)|.  (max_l, max_n)."""
    roots = np.array([bessel_roots(l, max_n) for l in range(max_l)])
    order = np.arange(max_l)[:, None]
    slope = np.abs(spherical_jn(order + 1, roots))
    return np.sqrt(2 / cutoff**3) * spherical_jn(order, roots * r / cutoff) / slope


def envelope(r: float, cutoff: float) -> float:
    x = r / cutoff
    return 1 - 6 * x**5 + 15 * x**4 - 10 * x**3 if x < 1 else 0.0


class Paper:
    """The network of one model, applied to one system."""

    def __init__(self, model) -> None:
        self.config = model.config
        self.weights = {name: tensor.detach().double().numpy() for name, tensor in model.state_dict().items()}

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return self.weights[f"{name}.weight"] @ x + self.weights.get(f"{name}.bias", 0)

    def depth(self, name: str) -> int:
        return sum(key.startswith(f"{name}.") and key.endswith(".weight") for key in self.weights)

    def mlp(self, name: str, x: np.ndarray) -> np.ndarray:
        for layer in range(self.depth(name)):
            x = silu(self.linear(f"{name}.{layer}", x))
        return x

    def gated_mlp(self, name: str, x: np.ndarray, *, ends_linear: bool = False) -> np.ndarray:
        """(g∘L₂∘g∘L₁)(x) ⊙ (σ∘L₂'∘g∘L₁')(x)."""
        core, gate = x, x
        last = self.depth(f"{name}.core") - 1
        for layer in range(last + 1):
            core = self.linear(f"{name}.core.{layer}", core)
            gate = self.linear(f"{name}.gate.{layer}", gate)
            core = core if layer == last and ends_linear else silu(core)
            gate = sigmoid(gate) if layer == last else silu(gate)
        return core * gate

    def angle_terms(self, block: str, bonds, ij: int, nodes, radial) -> list[np.ndarray]:
        """The terms of (2), one for each k, l-major.  (max_l · max_n,) each."""
        config, cutoff = self.config, self.config.threebody_cutoff
        i, _, r_ij = bonds[ij]
        terms = []
        if np.linalg.norm(r_ij) >= cutoff:
            return terms
        for ik, (centre, k, r_ik) in enumerate(bonds):
            d_ij, d_ik = np.linalg.norm(r_ij), np.linalg.norm(r_ik)
            if centre != i or ik == ij or d_ik >= cutoff:
                continue
            l = np.arange(config.max_l)
            y = np.sqrt((2 * l + 1) / (4 * np.pi)) * eval_legendre(l, r_ij @ r_ik / (d_ij * d_ik))
            gated_by = nodes[k] if config.angle_gate == "end" else nodes[i]
            s = sigmoid(self.linear(f"{block}.three_body.atom_gate", gated_by)).reshape(config.max_l, config.max_n)
            terms.append((radial[ik] * y[:, None] * s * envelope(d_ij, cutoff) * envelope(d_ik, cutoff)).ravel())
        return terms

    def angle_sum(self, block: str, bonds, ij: int, nodes, radial) -> np.ndarray:
        """ẽ_ij of (2), and with four bodies a sum over all pairs k, k' behind it."""
        width = self.config.max_l * self.config.max_n
        terms = self.angle_terms(block, bonds, ij, nodes, radial)
        three = sum(terms, np.zeros(width))
        if self.config.bodies == 3:
            return three
        a, b = (self.weights[f"{block}.three_body.products.{name}.weight"] for name in ("first", "second"))
        four = np.zeros(width)
        for of_k in terms:
            for of_other in terms:
                four += (a @ of_k) * (b @ of_other)
        return np.concatenate([three, four])

    def angle_radial(self, r: float) -> np.ndarray:
        config = self.config
        if config.angle_radial_basis == "spherical_bessel":
            return bessel_basis(r, config.max_n, config.max_l, config.cutoff)
        return smooth_basis(r, config.max_n * config.max_l, config.cutoff).reshape(config.max_l, config.max_n)

    def edge_basis(self, r: float) -> np.ndarray:
        config = self.config
        if config.edge_basis == "smooth":
            return smooth_basis(r, config.max_n, config.cutoff)
        return bessel_basis(r, config.max_n, config.max_l, config.cutoff).ravel()

    def run(self, rows: list[int], bonds, state: np.ndarray | None = None):
        """v, e and u after the last block.

        Args:
            rows: of the elements, one an atom.
            bonds: (i, j, vector) of every directed bond.
            state: u.
        """
        config = self.config
        v = [self.weights["atom_embedding.weight"][row] for row in rows]
        radial = [self.angle_radial(np.linalg.norm(vector)) for _, _, vector in bonds]
        e0 = [self.edge_basis(np.linalg.norm(vector)) for _, _, vector in bonds]
        e = [self.mlp("bond_embedding.layers", basis) for basis in e0]
        u = np.zeros(0) if state is None else state
        for index in range(config.num_blocks):
            block = f"blocks.{index}"
            angle_sums = [self.angle_sum(block, bonds, ij, v, radial) for ij in range(len(bonds))]  # (2)
            e = [x + self.gated_mlp(f"{block}.three_body.bond_update", y) for x, y in zip(e, angle_sums, strict=True)]
            if config.block_order == "bond_first":
                e = self.update_bonds(block, bonds, v, e, u, e0)
                v = self.update_atoms(block, bonds, v, e, u, e0)
            else:
                v = self.update_atoms(block, bonds, v, e, u, e0)
                e = self.update_bonds(block, bonds, v, e, u, e0)
            if state is not None:
                u = self.mlp(f"{block}.state_update.layers", np.concatenate([u, np.mean(v, axis=0)]))  # (6)
        return v, e, u

    def update_bonds(self, block: str, bonds, v, e, u, e0):
        """(4)."""
        name = f"{block}.bond_update"
        return [
            e[b] + self.gated_mlp(f"{name}.phi", np.concatenate([v[i], v[j], e[b], u]))
            * self.linear(f"{name}.edge_gate", e0[b])
            for b, (i, j, _) in enumerate(bonds)
        ]  # fmt: skip

    def update_atoms(self, block: str, bonds, v, e, u, e0):
        """(5)."""
        name, new = f"{block}.atom_update", [x.copy() for x in v]
        for b, (i, j, _) in enumerate(bonds):
            gate = self.linear(f"{name}.edge_gate", e0[b])
            gate = silu(gate) if self.config.atom_gate_activation == "silu" else gate
            message = self.gated_mlp(f"{name}.phi", np.concatenate([v[i], v[j], e[b], u])) * gate
            new[i if self.config.message_target == "centre" else j] += message
        return new

    def atomic_energies(self, rows: list[int], bonds) -> np.ndarray:
        """(7), with scale and reference energy of every element.  (atoms,) eV."""
        v, _, _ = self.run(rows, bonds)
        network = np.array([self.gated_mlp("readout.phi", x, ends_linear=True)[0] for x in v])
        scale, reference = (self.weights[f"reference_energy.{name}"] for name in ("scale", "reference"))
        return scale[rows] * network + reference[rows]
