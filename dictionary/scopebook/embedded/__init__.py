"""The embedded instance: every server of Scopebook, owned by one data folder."""
