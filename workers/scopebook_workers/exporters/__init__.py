"""Presets as files that other tools load: one module for each target, and the bundle around them."""
