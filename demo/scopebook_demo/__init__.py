"""A small real model with sparse autoencoders, and the chain of programs that builds it."""
