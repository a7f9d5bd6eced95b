"""The HTTP service: asks the dictionary, returns. Imports no torch."""
