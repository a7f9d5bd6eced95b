"""How good labels are: scores on examples that nobody who worded them has seen."""
