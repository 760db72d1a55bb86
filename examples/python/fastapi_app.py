"""A FastAPI application that contains a market: uvicorn fastapi_app:app

The stream is at /market/v1/stream, and the application's own page at /price/AAPL.
"""

import contextlib
from collections.abc import AsyncIterator

import tickwire
from fastapi import FastAPI, HTTPException, Request

market = tickwire.create_app(feed="simulator", journal="memory")


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    # A server sends its startup event only to the outermost application.
    async with market.running():
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/market", market)


@app.get("/price/{symbol}")
async def read_price(symbol: str, request: Request) -> dict[str, float | None]:
    async with tickwire.AsyncClient(f"{request.base_url}market") as client:
        quotes = await client.read_quotes(symbol)
    if symbol not in quotes:
        raise HTTPException(404, f"{symbol} has no price")
    return {"last": quotes[symbol].last}
