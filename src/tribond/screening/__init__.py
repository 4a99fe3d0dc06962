"""Many structures: a pool of processes, a store of results that a crash leaves whole, tables."""
