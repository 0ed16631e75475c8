"""The durable memory: the table, the bodies of reports, large inputs, the state directory and its lock."""
