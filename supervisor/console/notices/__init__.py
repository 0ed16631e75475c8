"""What a person should know now, in sentences. May import status values."""
