"""Model files: our own format, and the names they are known by."""
