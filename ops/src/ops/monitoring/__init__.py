"""Watches the stack: figures of every service, alert rules over them, and word of what begins and ends."""
