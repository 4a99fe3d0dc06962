"""Units. Inside tribond everything is eV, Å and eV/Å³; this is the only place that knows anything else."""

EV_PER_A3_TO_GPA = 160.21766208
"""Multiply eV/Å³ by this to get GPa (CODATA 2014, ASE's value)."""
