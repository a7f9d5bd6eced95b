"""The language model: load it and its tokenizer, and capture the residual stream of its layers.

Axis names in the shapes of this package:

    row       texts that go through the model together
    position  tokens of a row, padding included
    token     real tokens of the rows, one row after the other
    d_model   width of the model's residual stream
"""
