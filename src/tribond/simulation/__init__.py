"""Molecular dynamics, and what is read out of trajectories."""
