"""What two or more components share."""
