"""Model files, our own and those of other codes, and the names they are known by."""
