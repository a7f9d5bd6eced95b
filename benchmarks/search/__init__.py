"""How fast and how well a dictionary of the size of a whole Qwen-Scope release is searched."""
