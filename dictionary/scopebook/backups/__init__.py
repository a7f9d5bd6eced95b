"""Backups: everything of an instance in one file or folder, and back into an empty instance."""
