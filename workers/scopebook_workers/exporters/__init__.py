"""Presets as files that other tools load: a module for each target, and the bundle."""
