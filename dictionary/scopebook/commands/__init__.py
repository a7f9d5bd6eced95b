"""The commands, one file per noun; each asks the dictionary and prints."""
