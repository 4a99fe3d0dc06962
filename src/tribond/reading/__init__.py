"""Structure files: one reader for all verbs, which checks what was read against what the file says about itself."""
