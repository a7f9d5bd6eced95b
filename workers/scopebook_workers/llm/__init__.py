"""Ask language models: one interface, and a server, a local checkpoint or batch files behind it."""
