"""The durable memory: the table, the bodies of reports, the state directory and its lock."""
