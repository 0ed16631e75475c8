"""OpenAI and every server that speaks its API: the client, its answers, its errors."""
