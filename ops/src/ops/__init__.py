"""The `market` command: brings, starts, watches and stops the whole stack."""
