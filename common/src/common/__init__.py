"""What two or more rooms share."""
