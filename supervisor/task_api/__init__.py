"""The task API: what it is asked and told, what its answers mean, when to poll, what is still to be sent.

Imports `runtime` and `shared`; only `http` knows libcurl.
"""
