"""Print a line when a symbol begins to match a filter: python screen_alert.py [URL] [FILTER] [COUNT]

The program ends after COUNT alerts, or with Ctrl-C.
"""

import sys

import tickwire

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
FILTER = sys.argv[2] if len(sys.argv) > 2 else "change_rate > 0.05% and volume > 1K"
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else None

with tickwire.Client(URL) as client, client.screen(FILTER) as screen:
    print(f"waiting for symbols that match: {FILTER}", flush=True)
    alerts = 0
    for change in screen:
        if change.kind == "enter" and change.quote is not None:
            print(f"{change.symbol} at {change.quote.last}: one of {len(screen.symbols)} matches", flush=True)
            alerts += 1
        if alerts == COUNT:
            break
