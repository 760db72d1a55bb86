"""Print each line of an event stream as soon as requests returns the line."""

import sys

import requests

with requests.get(sys.argv[1], stream=True, timeout=300) as response:
    if response.status_code != 200:
        print(f"status: {response.status_code}", flush=True)
        sys.exit()
    # A larger chunk would hold small events back.
    for line in response.iter_lines(chunk_size=1, decode_unicode=True):
        print(line, flush=True)
