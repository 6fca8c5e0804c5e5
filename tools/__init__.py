"""One file per executable."""
