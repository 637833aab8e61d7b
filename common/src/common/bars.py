"""The lengths of bars and running averages, and for how long they change: all components agree on them.

The names of the tables `bars_5s` and `running_averages_15s` say the same lengths.
"""

from datetime import timedelta

BAR_SECONDS = 5
RUNNING_AVERAGE_SECONDS = 15
# Late trades change bars, mostly within the hour: until then what was computed from a bar is computed again.
CORRECTION_WINDOW = timedelta(hours=1)
