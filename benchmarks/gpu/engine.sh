#!/bin/sh
# The Triton kernels on a GPU: errors of every dialect against float64 on the CPU, then times, memory and dynamics.
#   benchmarks/gpu/engine.sh [WHEELS]     # WHEELS from pack.sh, if the machine has no network
# Takes about three minutes, most of them for compiling. The tables go to standard output.
set -eu
cd "$(dirname "$0")/../.."
if [ $# -gt 0 ]; then
	python3 -m pip install --quiet --no-deps --no-index "$1"/*.whl
fi
PYTHONPATH="$PWD/src" exec python3 benchmarks/gpu/engine.py
