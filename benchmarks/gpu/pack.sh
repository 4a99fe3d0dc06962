#!/bin/sh
# Wheels of what tribond needs besides PyTorch, for a GPU machine without a network:
#   benchmarks/gpu/pack.sh WHEELS 3.12      # the version of Python there
set -eu
python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version "$2" \
	--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
	--platform manylinux2014_x86_64 --dest "$1" \
	ase vesin spglib jaxtyping wadler-lindig safetensors platformdirs gemmi filelock threadpoolctl \
	pyyaml pydantic pydantic-core annotated-types typing-inspection typing-extensions tqdm \
	pytest iniconfig pluggy packaging pygments pytest-xdist execnet hypothesis sortedcontainers beartype \
	torch-sim-atomistic==0.3.0 vesin-torch tables h5py blosc2 numexpr py-cpuinfo ndindex msgpack # later ones bring 500 MB
