"""How the Triton kernels are started: grids, tiles and arguments, for one model and the bonds of one batch."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tribond.backends.triton.angles import angles_back_kernel, angles_kernel
from tribond.backends.triton.bases import bases_back_kernel, bases_kernel, embed_kernel
from tribond.backends.triton.bonds import Bonds
from tribond.backends.triton.sums import density_kernel, sum_kernel
from tribond.backends.triton.update import message_kernel
from tribond.backends.triton.update_back import angle_layers_back_kernel, message_back_kernel
from tribond.backends.triton.weights import BlockWeights, UpdateWeights, Weights, padded

BOND_TILE = 128  # bonds of a program, where a bond is a few numbers
ATOM_TILE = 32  # bonds that a program which adds up for an atom takes at a time


@dataclass(frozen=True)
class Tile:
    """How many bonds go through an update together, and on how many warps."""

    bonds: int
    warps: int
    registers: int | None = None  # at most, of a thread; None for what the compiler likes

    @property
    def options(self) -> dict[str, Any]:
        """As the kernels take it."""
        return {"B": self.bonds, "num_warps": self.warps, "maxnreg": self.registers}


@dataclass(frozen=True)
class Tiles:
    """Of the updates, forward and backward, and of the layers of (3)."""

    forward: Tile
    backward: Tile
    angles: Tile


@dataclass(frozen=True)
class Bases:
    """What depends on the bond vectors alone, or the derivatives by it; functions first, bonds last."""

    e0: Tensor  # (functions, stride)
    enveloped: Tensor  # (max_l · max_n, stride) f_c R
    envelope: Tensor  # (capacity,) f_c
    harmonics: Tensor  # (max_l², stride) Y_lm


@dataclass(frozen=True)
class Angles:
    """What (2) and (3) of one block need: s of every atom, the densities, and ẽ."""

    gate: Tensor  # (atoms, max_l · max_n)
    density: Tensor  # (atoms, max_n, columns)
    messages: Tensor  # (max_l · max_n, stride)


@dataclass(frozen=True)
class Launcher:
    """Kernels of one model on the bonds of one batch."""

    weights: Weights
    bonds: Bonds
    tiles: Tiles

    # ------------------------------------------------------------------------------------ shapes

    @property
    def functions(self) -> int:
        """Rows of e⁰, with the one that a bias belongs to."""
        return self.weights.blocks[0].bond.functions

    @property
    def angular(self) -> int:
        """max_l · max_n."""
        config = self.weights.model.config
        return config.max_l * config.max_n

    @property
    def stride(self) -> int:
        """Numbers from one function to the next in arrays that lie function by function; a multiple of 16."""
        return max(16, -(-self.bonds.capacity // 16) * 16)

    @property
    def columns(self) -> int:
        """Columns of a density, max_l² and some left over."""
        return 1 << (self.weights.model.config.max_l**2 - 1).bit_length()

    def new(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """An array on the device, not written yet."""
        return torch.empty(shape, dtype=dtype, device=self.bonds.centre.device)

    def zero_bases(self) -> Bases:
        """Derivatives by the bases, before anything was added."""
        max_l = self.weights.model.config.max_l
        sizes = [self.functions, self.angular, 1, max_l * max_l]
        e0, enveloped, envelope, harmonics = self.new(sum(sizes), self.stride).zero_().split(sizes)
        return Bases(e0, enveloped, envelope[0], harmonics)

    def _tiles(self, size: int) -> tuple[int]:
        return (max(1, -(-self.bonds.capacity // size)),)

    # ------------------------------------------------------------------------------------ bases

    def _basis_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        model, bonds = self.weights.model, self.bonds
        config = model.config
        arguments = (bonds.start, bonds.num_atoms, self.stride, config.cutoff, config.threebody_cutoff,
                     self.weights.edge_functions, self.weights.angle_functions)  # fmt: skip
        smooth = config.edge_basis == "smooth"
        constants = {
            "EDGE_L": 1 if smooth else config.max_l,
            "MAX_L": config.max_l,
            "MAX_N": config.max_n,
            "EDGE_SMOOTH": smooth,
            "ANGLE_SMOOTH": config.angle_radial_basis == "smooth",
            "BK": padded(config.max_n + 1),
            "BK_ANGLE": padded(self.angular + 1),
            "B": BOND_TILE,
            "num_warps": 4,
        }
        return arguments, constants

    def bases(self, vectors: Tensor) -> Bases:
        """All bases of (capacity, 3) bond vectors, Å."""
        arguments, constants = self._basis_arguments()
        max_l = self.weights.model.config.max_l
        bases = Bases(
            self.new(self.functions, self.stride),
            self.new(self.angular, self.stride),
            self.new(self.stride),
            self.new(max_l * max_l, self.stride),
        )
        with_one = self.weights.model.config.edge_gate_bias
        out = (bases.e0, bases.enveloped, bases.envelope, bases.harmonics)
        bases_kernel[self._tiles(BOND_TILE)](vectors, *arguments, *out, WITH_ONE=with_one, **constants)
        return bases

    def bases_back(self, vectors: Tensor, d: Bases) -> Tensor:
        """dE/dr_ij.  (capacity, 3) float64; zero where no bond is."""
        arguments, constants = self._basis_arguments()
        out = self.new(self.bonds.capacity, 3, dtype=torch.float64).zero_()
        bases_back_kernel[self._tiles(BOND_TILE)](
            vectors, *arguments, d.e0, d.enveloped, d.envelope, d.harmonics, out, **constants
        )
        return out

    def _embed(self, e0: Tensor, edges: Tensor, d_edges: Tensor, d_e0: Tensor, *, back: bool) -> None:
        weight, bias = self.weights.embedding, self.weights.embedding_bias
        embed_kernel[self._tiles(32)](
            e0, self.stride, weight, weight if bias is None else bias, self.bonds.start, self.bonds.num_atoms,
            edges, d_edges, d_e0,
            N=weight.shape[1], E=weight.shape[0], BE=padded(weight.shape[0]), WITH_BIAS=bias is not None, BACK=back,
            B=32, num_warps=4,
        )  # fmt: skip

    def embed(self, e0: Tensor) -> Tensor:
        """The first e_ij.  (capacity, edge_features)."""
        edges = self.new(self.bonds.capacity, self.weights.embedding.shape[0])
        self._embed(e0, edges, edges, e0, back=False)
        return edges

    def embed_back(self, e0: Tensor, d_edges: Tensor, d_e0: Tensor) -> None:
        """∂e⁰ += ..., from the derivative by the first e_ij."""
        self._embed(e0, d_edges, d_edges, d_e0, back=True)

    # ------------------------------------------------------------------------------------ sums over bonds

    def sums(
        self, values: Tensor, out: Tensor, *, by_neighbour: bool, before: Tensor | None = None, rows: int = 8
    ) -> None:
        """Add up rows (capacity, width) of the bonds of every atom, into (atoms, width) columns of an array."""
        bonds, width = self.bonds, values.shape[1]
        sum_kernel[(bonds.num_atoms,)](
            values, bonds.order, bonds.start_of_neighbour if by_neighbour else bonds.start,
            values if before is None else before, out, out.stride(0),
            WIDTH=width, B=1 << (width - 1).bit_length(), ORDERED=by_neighbour, ONTO=before is not None, ROWS=rows,
            num_warps=1,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------ angles

    def _density(self, values: Tensor, bases: Bases, gate: Tensor, gated_by: str) -> Tensor:
        config, bonds = self.weights.model.config, self.bonds
        out = self.new(bonds.num_atoms, config.max_n, self.columns)
        density_kernel[bonds.num_atoms, config.max_n](
            values, bases.harmonics, self.stride, gate, bases.envelope, bonds.neighbour, bonds.start, out,
            MAX_L=config.max_l, MAX_N=config.max_n, COLUMNS=self.columns, GATED_BY=gated_by, ROWS=ATOM_TILE,
            num_warps=1,
        )  # fmt: skip
        return out

    def _angle_shapes(self) -> dict[str, int]:
        config = self.weights.model.config
        return {"MAX_L": config.max_l, "MAX_N": config.max_n, "COLUMNS": self.columns, "B": BOND_TILE, "num_warps": 4}

    @property
    def _gated_by(self) -> Tensor:
        at_end = self.weights.model.config.angle_gate == "end"
        return self.bonds.neighbour if at_end else self.bonds.centre

    def angles(self, bases: Bases, gate: Tensor) -> Angles:
        """(2), given s of every atom."""
        bonds = self.bonds
        density = self._density(bases.enveloped, bases, gate, self.weights.model.config.angle_gate)
        messages = self.new(self.angular, self.stride)
        angles_kernel[self._tiles(BOND_TILE)](
            bases.enveloped, bases.envelope, bases.harmonics, self.stride, gate, density, self._gated_by,
            bonds.centre, bonds.start, bonds.num_atoms, messages, **self._angle_shapes(),
        )  # fmt: skip
        return Angles(gate, density, messages)

    def angles_back(self, bases: Bases, angles: Angles, d_messages: Tensor, d: Bases) -> Tensor:
        """∂s of every bond from ∂ẽ, (capacity, max_l · max_n); adds to the derivatives by the bases."""
        bonds = self.bonds
        back = self._density(d_messages, bases, angles.gate, "none")
        d_gate = self.new(bonds.capacity, self.angular)
        angles_back_kernel[self._tiles(BOND_TILE)](
            bases.enveloped, bases.envelope, bases.harmonics, self.stride, angles.gate, angles.density, back,
            self._gated_by, bonds.centre, bonds.start, bonds.num_atoms, d_messages, d.enveloped, d.envelope,
            d.harmonics, d_gate, **self._angle_shapes(),
        )  # fmt: skip
        return d_gate

    # ------------------------------------------------------------------------------------ updates

    def _update_arguments(
        self, block: BlockWeights, update: UpdateWeights, table: Tensor, *, back: bool
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        bonds, matrices = self.bonds, update.matrices.offsets
        arguments = (table, table.stride(0), bonds.centre, bonds.neighbour, bonds.start, bonds.num_atoms,
                     update.matrices.values, update.biases)  # fmt: skip
        widths = {
            "E": self.weights.embedding.shape[0],
            "H1": update.hidden[0],
            "H2": (*update.hidden, update.out_features)[1],  # what comes out of the second layer
            "O": update.out_features,
            "N": update.functions,
            "T": self.angular,
        }
        shapes = widths | {f"B{name}": padded(width) for name, width in widths.items()}
        del shapes["H2"]
        constants: dict[str, Any] = shapes | {
            "SILU": update.silu,
            "TWO_HIDDEN": len(update.hidden) > 1,
            "PRECISION": self.weights.precision,
        }
        names = ["CORE0", "GATE0", "CORE1", "GATE1", "CORE2", "GATE2", "SCALE"]
        names += [f"{name}_BACK" for name in names] if back else []
        constants |= {name: matrices.get(name, 0) for name in names}
        constants |= {name: block.angles.offsets[name] for name in ("ANGLE_CORE", "ANGLE_GATE")}
        return arguments, constants

    def message(
        self, block: BlockWeights, update: UpdateWeights, table: Tensor, edges: Tensor, e0: Tensor,
        angles: Angles | None, *, onto_bonds: bool,
    ) -> Tensor:  # fmt: skip
        """e_ij after (4), or what (5) adds up.  (capacity, out_features).

        Args:
            block: gives the layers of (3).
            update: gives all others.
            table: (atoms, 4 H) what atoms bring to the first layer; rows may lie apart.
            edges: (capacity, edge_features) e_ij.
            e0: (functions, stride).
            angles: ẽ, if `edges` are those before (3).
            onto_bonds: (4), not (5).
        """
        arguments, constants = self._update_arguments(block, update, table, back=False)
        out = self.new(self.bonds.capacity, update.out_features)
        tile = self.tiles.forward
        message_kernel[self._tiles(tile.bonds)](
            edges, out, e0, self.stride, e0 if angles is None else angles.messages, block.angles.values, *arguments,
            **constants, WITH_ANGLES=angles is not None, ONTO_BONDS=onto_bonds, **tile.options,
        )  # fmt: skip
        return out

    def message_back(
        self, block: BlockWeights, update: UpdateWeights, table: Tensor, edges: Tensor, d_edges: Tensor, e0: Tensor,
        d_e0: Tensor, angles: Angles | None, *, d_nodes: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """∂first, (capacity, 2 H), for core and gate; adds to ∂e and ∂e⁰.

        Arguments as for `message`; `d_edges` is (capacity, edge_features) ∂e after the update, on return that before
        it, and `d_nodes` (atoms, node_features) for (5), None for (4).
        """
        arguments, constants = self._update_arguments(block, update, table, back=True)
        bonds, tile = self.bonds, self.tiles.backward
        d_first = self.new(bonds.capacity, 2 * update.hidden[0])
        target = bonds.centre if self.weights.model.config.message_target == "centre" else bonds.neighbour
        message_back_kernel[self._tiles(tile.bonds)](
            edges, d_edges, d_edges if d_nodes is None else d_nodes, target, e0, d_e0, d_first, self.stride,
            e0 if angles is None else angles.messages, block.angles.values, *arguments,
            **constants, WITH_ANGLES=angles is not None, ONTO_BONDS=d_nodes is None, **tile.options,
        )  # fmt: skip
        return d_first

    def angle_layers_back(self, block: BlockWeights, d_edges: Tensor, angles: Angles) -> Tensor:
        """∂ẽ from ∂e, back through (3).  (max_l · max_n, stride)."""
        d_angles = self.new(self.angular, self.stride)
        width, bonds, tile = d_edges.shape[1], self.bonds, self.tiles.angles
        angle_layers_back_kernel[self._tiles(tile.bonds)](
            d_edges, angles.messages, d_angles, self.stride, bonds.start, bonds.num_atoms, block.angles.values,
            E=width, T=self.angular, BE=padded(width), BT=padded(self.angular), **block.angles.offsets,
            PRECISION=self.weights.precision, **tile.options,
        )  # fmt: skip
        return d_angles
