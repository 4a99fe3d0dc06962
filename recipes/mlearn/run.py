"""Train from scratch on one element, seed after seed.

    python recipes/mlearn/run.py Si --seeds 0 1 2
    python recipes/mlearn/run.py Si --seeds 0 --name four-body --set model.settings.bodies=4

Reads `Si.yaml` beside this file and writes `runs/mlearn/Si-0`, `Si-1` and so on (`Si-four-body-0` with a name). What was
interrupted goes on with the same command; what is complete is left as it is.
"""

import argparse
from pathlib import Path
from typing import Any

import yaml

from tribond.training.config import TrainingConfig
from tribond.training.run import train

HERE = Path(__file__).parent


def changed(content: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b.c` of nested settings."""
    *path, last = key.split(".")
    for name in path:
        content = content.setdefault(name, {})
    content[last] = value


def main() -> None:
    """Train every seed that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("element")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--name", help="of a variant")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="SETTING=VALUE", help="settings that differ from the file"
    )
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        content = yaml.safe_load((HERE / f"{arguments.element}.yaml").read_text())
        for change in arguments.set:
            key, _, value = change.partition("=")
            changed(content, key, yaml.safe_load(value))
        variant = "-".join(filter(None, [arguments.element, arguments.name, str(seed)]))
        content |= {"seed": seed, "name": f"mlearn-{variant}", "output": f"../../runs/mlearn/{variant}"}
        result = train(TrainingConfig.model_validate(content), HERE, progress=False)
        print(f"{result.model_file}", flush=True)


if __name__ == "__main__":
    main()
