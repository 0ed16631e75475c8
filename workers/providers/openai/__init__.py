"""OpenAI and every server that speaks its API: the client, its answers, its errors.

May import what all providers share. Nothing but this package imports the SDK.
"""
