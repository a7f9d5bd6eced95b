"""Tensors only: checkpoints, encoding, logit lens and per-feature statistics of SAEs.

Axis names in the shapes of this package:

    token     positions of text, of one or many contexts in a row
    d_model   width of the model's residual stream
    d_sae     features of the SAE
    k         features kept per token
    feature   some of the d_sae features
    vocab     entries of the unembedding, one per token id
    n         entries kept per feature (promoted tokens, neighbours)
    layer     decoder layers
    context   runs of tokens that the model sees at once
"""
