"""The status page. May import status values and the notices."""
