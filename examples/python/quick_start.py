"""Print the first ten prices of a market: python quick_start.py [URL]"""

import asyncio
import sys

import tickwire

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


async def main() -> None:
    count = 0
    async with tickwire.AsyncClient(URL) as client:
        async for quote in client.quotes(["AAPL", "MSFT"]):
            print(f"{quote.symbol} {quote.last} {quote.change_rate} %")
            count += 1
            if count == 10:
                break


asyncio.run(main())
