"""What every model reads: a batch of atomic systems as tensors, and how to make it from structures."""
