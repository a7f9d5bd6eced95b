"""Run texts that people wait for: many at once, in turns, with a model that stays loaded."""
