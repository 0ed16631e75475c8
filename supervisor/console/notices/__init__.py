"""What a person should know now, in sentences."""
