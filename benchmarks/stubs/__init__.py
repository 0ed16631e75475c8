"""A task API and a provider of embeddings in memory, each a process on a free port of the loopback."""
