"""Print each line of an event stream as soon as httpx returns the line."""

import sys

import httpx2

with httpx2.stream("GET", sys.argv[1], timeout=None) as response:
    if response.status_code != 200:
        print(f"status: {response.status_code}", flush=True)
        sys.exit()
    for line in response.iter_lines():
        print(line, flush=True)
