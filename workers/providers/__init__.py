"""Sources of embeddings and of chat answers: what each offers, the embedded model, counted calls.

May import shared. A worker loads only the provider that it uses.
"""
