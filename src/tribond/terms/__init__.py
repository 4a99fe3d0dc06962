"""Physics that is added to a network's energy and that no backend sees: dispersion."""
