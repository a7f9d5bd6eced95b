"""Stand-ins for language models: real local servers whose answers are known beforehand."""
