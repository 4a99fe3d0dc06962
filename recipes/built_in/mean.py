"""Write the weighted mean of models of one kind: ``python recipes/built_in/mean.py OUT MODEL=0.64 OTHER=0.36``.

Models are whatever tribond loads. Config, reference energies and metadata are those of the first.
"""

import sys
from pathlib import Path

import torch

from tribond.checkpoints.native import save_model
from tribond.checkpoints.registry import load_network


def main() -> None:
    """Average and write."""
    named = [part.rpartition("=") for part in sys.argv[2:]]
    loaded = [load_network(name, torch.float32) for name, _, _ in named]
    shares = [float(share) for _, _, share in named]
    if abs(sum(shares) - 1) > 1e-9:
        raise SystemExit(f"the shares add up to {sum(shares)}, not to 1")
    model, metadata = loaded[0]
    others = [dict(other.named_parameters()) for other, _ in loaded]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(sum(share * other[name] for share, other in zip(shares, others, strict=True)))
    save_model(Path(sys.argv[1]), model, metadata)


if __name__ == "__main__":
    main()
