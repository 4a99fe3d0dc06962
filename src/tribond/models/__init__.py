"""Trained models, ready to use: what a force field is, potentials and models of one property."""
