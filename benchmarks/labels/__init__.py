"""How good labels are, measured without a person and without a large model: tiers t0, t1, ..."""
