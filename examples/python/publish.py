"""Publish prices, and read them again: python publish.py [URL]

Start the server with `tickwire serve --feed http`.
"""

import sys

import tickwire

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"

with tickwire.Client(URL) as client:
    # The server stores a batch with the same key only once. A program can therefore repeat a publish after a failure.
    batch = [{"symbol": "ACME", "last": 12.5, "size": 100}, {"symbol": "INIT", "bid": 80.0, "ask": 80.5}]
    for _ in range(2):
        receipt = client.publish(batch, key="example-batch-1")
        print(f"{receipt.accepted} ticks, stored before: {receipt.repeated}")
    print(f"ACME {client.read_quotes('ACME')['ACME'].last}")
