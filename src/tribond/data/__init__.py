"""Structures with labels: reading, reference energies, batches."""
