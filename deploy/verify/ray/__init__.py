"""POOL=ray on two machines made of network namespaces, that lose a node and the head in mid-run."""
