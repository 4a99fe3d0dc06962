"""The network computed for use, not for training: energy and its one derivative, in little time and memory."""
