"""What people see: the HTTP port, the page, the terminal, the notices, and the commands."""
