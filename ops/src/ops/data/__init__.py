"""Moves data in and out: replays, backups."""
