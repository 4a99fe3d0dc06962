"""Training on energies, forces and stresses, with Lightning (the extra `train`)."""
