"""What computes the network for use and for training: energies and their derivatives, in little time and memory."""
