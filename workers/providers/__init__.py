"""Sources of embeddings: what each offers, the embedded model, and what all of them share."""
