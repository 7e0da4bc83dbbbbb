"""The commands as library functions, one module each."""
