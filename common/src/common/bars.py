"""The lengths of the bars and of the running averages, on which every component agrees.

The names of the tables `bars_5s` and `running_averages_15s` say the same lengths.
"""

BAR_SECONDS = 5
RUNNING_AVERAGE_SECONDS = 15
