"""Cloud drivers, one file each."""
