"""The vault: tables, sessions, and the one function that commits."""
