"""The built-in model: about a hundred well-known instruments.

The numbers are rounded, come from general knowledge, and describe the start of 2026. They are accurate enough for a
simulation, but they are not market data, so do not base trades on them. Prices and earnings per share are in the
currency of the venue.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from tickwire.core.instrument import Instrument
from tickwire.simulation.model import MODEL_FORMAT, HaltRule, Jumps, MarketModel, SymbolModel


class _Venue(NamedTuple):
    exchange: str
    currency: str
    tick_size: float


class _InstrumentRow(NamedTuple):
    symbol: str
    name: str
    venue: _Venue
    sector: str
    price: float
    volatility: float
    eps: float | None
    shares_millions: float | None


_NASDAQ = _Venue("NASDAQ", "USD", 0.01)
_NYSE = _Venue("NYSE", "USD", 0.01)
_ARCA = _Venue("NYSE Arca", "USD", 0.01)
_LSE = _Venue("LSE", "GBX", 0.5)
_XETRA = _Venue("XETRA", "EUR", 0.02)
_PARIS = _Venue("Euronext Paris", "EUR", 0.05)
_TOKYO = _Venue("TSE", "JPY", 1.0)
_HONG_KONG = _Venue("HKEX", "HKD", 0.05)
_CRYPTO = _Venue("Crypto", "USD", 0.01)
_CRYPTO_FINE = _Venue("Crypto", "USD", 0.0001)

_TECH, _COMM, _CONS, _STAPLES = "Technology", "Communication Services", "Consumer Cyclical", "Consumer Defensive"
_HEALTH, _FIN, _IND, _ENERGY = "Healthcare", "Financial Services", "Industrials", "Energy"
_MATERIALS, _UTIL, _ESTATE, _FUND, _COIN = "Basic Materials", "Utilities", "Real Estate", "Fund", "Cryptocurrency"

_INSTRUMENT_ROWS: tuple[tuple[str, str, _Venue, str, float, float, float | None, float | None], ...] = (
    ("AAPL", "Apple Inc.", _NASDAQ, _TECH, 245.50, 0.28, 6.80, 14_800),
    ("MSFT", "Microsoft Corporation", _NASDAQ, _TECH, 480.10, 0.24, 13.60, 7_430),
    ("NVDA", "NVIDIA Corporation", _NASDAQ, _TECH, 178.40, 0.45, 3.50, 24_300),
    ("GOOGL", "Alphabet Inc. Class A", _NASDAQ, _COMM, 255.20, 0.29, 9.40, 5_820),
    ("GOOG", "Alphabet Inc. Class C", _NASDAQ, _COMM, 256.00, 0.29, 9.40, 5_460),
    ("AMZN", "Amazon.com Inc.", _NASDAQ, _CONS, 228.70, 0.31, 6.60, 10_660),
    ("META", "Meta Platforms Inc.", _NASDAQ, _COMM, 690.30, 0.34, 27.20, 2_510),
    ("TSLA", "Tesla Inc.", _NASDAQ, _CONS, 410.80, 0.58, 1.80, 3_230),
    ("AVGO", "Broadcom Inc.", _NASDAQ, _TECH, 340.60, 0.42, 4.10, 4_710),
    ("COST", "Costco Wholesale Corporation", _NASDAQ, _STAPLES, 925.40, 0.21, 18.00, 443),
    ("NFLX", "Netflix Inc.", _NASDAQ, _COMM, 112.40, 0.35, 2.40, 4_240),
    ("AMD", "Advanced Micro Devices Inc.", _NASDAQ, _TECH, 215.90, 0.50, 2.00, 1_630),
    ("ADBE", "Adobe Inc.", _NASDAQ, _TECH, 345.20, 0.32, 16.10, 419),
    ("CSCO", "Cisco Systems Inc.", _NASDAQ, _TECH, 76.30, 0.21, 2.60, 3_950),
    ("INTC", "Intel Corporation", _NASDAQ, _TECH, 36.80, 0.48, None, 4_770),
    ("QCOM", "QUALCOMM Incorporated", _NASDAQ, _TECH, 168.50, 0.35, 10.30, 1_080),
    ("TXN", "Texas Instruments Incorporated", _NASDAQ, _TECH, 182.10, 0.30, 5.50, 909),
    ("PEP", "PepsiCo Inc.", _NASDAQ, _STAPLES, 146.20, 0.17, 5.30, 1_370),
    ("AMGN", "Amgen Inc.", _NASDAQ, _HEALTH, 318.70, 0.25, 12.90, 538),
    ("SBUX", "Starbucks Corporation", _NASDAQ, _CONS, 84.60, 0.29, 1.60, 1_137),
    ("PYPL", "PayPal Holdings Inc.", _NASDAQ, _FIN, 64.90, 0.36, 4.90, 936),
    ("INTU", "Intuit Inc.", _NASDAQ, _TECH, 655.00, 0.30, 14.60, 279),
    ("ISRG", "Intuitive Surgical Inc.", _NASDAQ, _HEALTH, 552.30, 0.31, 7.60, 355),
    ("BKNG", "Booking Holdings Inc.", _NASDAQ, _CONS, 5120.00, 0.27, 153.00, 32.4),
    ("MU", "Micron Technology Inc.", _NASDAQ, _TECH, 236.50, 0.52, 7.60, 1_122),
    ("PLTR", "Palantir Technologies Inc.", _NASDAQ, _TECH, 172.60, 0.62, 0.43, 2_380),
    ("COIN", "Coinbase Global Inc.", _NASDAQ, _FIN, 265.40, 0.75, 11.50, 257),
    ("MELI", "MercadoLibre Inc.", _NASDAQ, _CONS, 2085.00, 0.38, 40.90, 50.7),
    ("JPM", "JPMorgan Chase & Co.", _NYSE, _FIN, 308.20, 0.24, 20.20, 2_720),
    ("BAC", "Bank of America Corporation", _NYSE, _FIN, 53.40, 0.26, 3.70, 7_300),
    ("WFC", "Wells Fargo & Company", _NYSE, _FIN, 86.90, 0.27, 6.10, 3_140),
    ("GS", "The Goldman Sachs Group Inc.", _NYSE, _FIN, 805.60, 0.28, 49.20, 300),
    ("MS", "Morgan Stanley", _NYSE, _FIN, 168.00, 0.27, 9.80, 1_590),
    ("C", "Citigroup Inc.", _NYSE, _FIN, 101.30, 0.29, 7.10, 1_790),
    ("V", "Visa Inc.", _NYSE, _FIN, 334.80, 0.20, 10.20, 1_690),
    ("MA", "Mastercard Incorporated", _NYSE, _FIN, 545.70, 0.21, 15.60, 898),
    ("BRK.B", "Berkshire Hathaway Inc. Class B", _NYSE, _FIN, 503.40, 0.17, 31.20, 1_380),
    ("BLK", "BlackRock Inc.", _NYSE, _FIN, 1052.00, 0.25, 39.00, 155),
    ("UNH", "UnitedHealth Group Incorporated", _NYSE, _HEALTH, 322.90, 0.33, 19.20, 906),
    ("JNJ", "Johnson & Johnson", _NYSE, _HEALTH, 203.50, 0.17, 10.40, 2_410),
    ("LLY", "Eli Lilly and Company", _NYSE, _HEALTH, 1040.00, 0.33, 20.40, 945),
    ("PFE", "Pfizer Inc.", _NYSE, _HEALTH, 25.20, 0.24, 1.70, 5_690),
    ("MRK", "Merck & Co. Inc.", _NYSE, _HEALTH, 98.60, 0.24, 7.60, 2_480),
    ("ABBV", "AbbVie Inc.", _NYSE, _HEALTH, 229.40, 0.22, 1.30, 1_770),
    ("TMO", "Thermo Fisher Scientific Inc.", _NYSE, _HEALTH, 582.10, 0.26, 17.40, 376),
    ("XOM", "Exxon Mobil Corporation", _NYSE, _ENERGY, 118.30, 0.24, 6.90, 4_220),
    ("CVX", "Chevron Corporation", _NYSE, _ENERGY, 151.70, 0.24, 7.10, 2_010),
    ("COP", "ConocoPhillips", _NYSE, _ENERGY, 91.20, 0.30, 7.10, 1_240),
    ("WMT", "Walmart Inc.", _NYSE, _STAPLES, 106.40, 0.19, 2.90, 7_970),
    ("PG", "The Procter & Gamble Company", _NYSE, _STAPLES, 147.50, 0.16, 6.80, 2_340),
    ("KO", "The Coca-Cola Company", _NYSE, _STAPLES, 71.80, 0.15, 3.00, 4_300),
    ("MCD", "McDonald's Corporation", _NYSE, _CONS, 309.60, 0.17, 11.70, 712),
    ("NKE", "NIKE Inc.", _NYSE, _CONS, 65.10, 0.34, 1.90, 1_478),
    ("HD", "The Home Depot Inc.", _NYSE, _CONS, 352.40, 0.22, 14.70, 995),
    ("DIS", "The Walt Disney Company", _NYSE, _COMM, 110.70, 0.27, 6.90, 1_790),
    ("T", "AT&T Inc.", _NYSE, _COMM, 25.60, 0.20, 3.00, 7_100),
    ("VZ", "Verizon Communications Inc.", _NYSE, _COMM, 40.80, 0.19, 4.70, 4_220),
    ("BA", "The Boeing Company", _NYSE, _IND, 201.90, 0.36, None, 760),
    ("CAT", "Caterpillar Inc.", _NYSE, _IND, 566.20, 0.29, 19.50, 468),
    ("GE", "General Electric Company", _NYSE, _IND, 301.70, 0.28, 7.50, 1_060),
    ("HON", "Honeywell International Inc.", _NYSE, _IND, 197.60, 0.20, 9.50, 635),
    ("UPS", "United Parcel Service Inc.", _NYSE, _IND, 96.20, 0.28, 6.50, 848),
    ("F", "Ford Motor Company", _NYSE, _CONS, 13.10, 0.34, 1.20, 3_980),
    ("GM", "General Motors Company", _NYSE, _CONS, 72.40, 0.33, 5.00, 933),
    ("IBM", "International Business Machines Corporation", _NYSE, _TECH, 304.30, 0.25, 8.40, 935),
    ("ORCL", "Oracle Corporation", _NYSE, _TECH, 221.80, 0.45, 4.30, 2_850),
    ("CRM", "Salesforce Inc.", _NYSE, _TECH, 241.50, 0.31, 6.90, 952),
    ("UBER", "Uber Technologies Inc.", _NYSE, _TECH, 86.70, 0.38, 7.80, 2_080),
    ("LIN", "Linde plc", _NASDAQ, _MATERIALS, 418.90, 0.18, 14.60, 467),
    ("FCX", "Freeport-McMoRan Inc.", _NYSE, _MATERIALS, 42.70, 0.40, 1.40, 1_436),
    ("NEM", "Newmont Corporation", _NYSE, _MATERIALS, 92.30, 0.40, 6.40, 1_090),
    ("NEE", "NextEra Energy Inc.", _NYSE, _UTIL, 83.20, 0.26, 3.20, 2_080),
    ("DUK", "Duke Energy Corporation", _NYSE, _UTIL, 121.60, 0.17, 6.30, 778),
    ("AMT", "American Tower Corporation", _NYSE, _ESTATE, 181.40, 0.25, 6.20, 468),
    ("SPY", "SPDR S&P 500 ETF Trust", _ARCA, _FUND, 671.30, 0.15, None, None),
    ("QQQ", "Invesco QQQ Trust", _NASDAQ, _FUND, 608.90, 0.20, None, None),
    ("IWM", "iShares Russell 2000 ETF", _ARCA, _FUND, 241.20, 0.22, None, None),
    ("DIA", "SPDR Dow Jones Industrial Average ETF Trust", _ARCA, _FUND, 472.50, 0.14, None, None),
    ("GLD", "SPDR Gold Shares", _ARCA, _FUND, 375.40, 0.17, None, None),
    ("TLT", "iShares 20+ Year Treasury Bond ETF", _NASDAQ, _FUND, 89.60, 0.14, None, None),
    ("AZN.L", "AstraZeneca PLC", _LSE, _HEALTH, 13_560.0, 0.22, 450.0, 1_550),
    ("SHEL.L", "Shell plc", _LSE, _ENERGY, 2_790.0, 0.22, 182.0, 5_800),
    ("HSBA.L", "HSBC Holdings plc", _LSE, _FIN, 1_068.0, 0.22, 80.0, 17_200),
    ("ULVR.L", "Unilever PLC", _LSE, _STAPLES, 4_520.0, 0.16, 205.0, 2_450),
    ("BP.L", "BP p.l.c.", _LSE, _ENERGY, 452.0, 0.27, 8.0, 15_500),
    ("RR.L", "Rolls-Royce Holdings plc", _LSE, _IND, 1_092.0, 0.36, 68.0, 8_420),
    ("SAP.DE", "SAP SE", _XETRA, _TECH, 212.50, 0.27, 6.10, 1_165),
    ("SIE.DE", "Siemens AG", _XETRA, _IND, 227.40, 0.26, 12.20, 784),
    ("ALV.DE", "Allianz SE", _XETRA, _FIN, 364.80, 0.19, 26.40, 383),
    ("BMW.DE", "Bayerische Motoren Werke AG", _XETRA, _CONS, 88.62, 0.27, 10.90, 570),
    ("BAS.DE", "BASF SE", _XETRA, _MATERIALS, 44.18, 0.26, 0.40, 893),
    ("MC.PA", "LVMH Moet Hennessy Louis Vuitton SE", _PARIS, _CONS, 625.00, 0.31, 22.10, 498),
    ("AIR.PA", "Airbus SE", _PARIS, _IND, 201.40, 0.27, 6.20, 790),
    ("7203.T", "Toyota Motor Corporation", _TOKYO, _CONS, 3_105.0, 0.26, 355.0, 13_030),
    ("6758.T", "Sony Group Corporation", _TOKYO, _TECH, 4_480.0, 0.29, 190.0, 5_980),
    ("9984.T", "SoftBank Group Corp.", _TOKYO, _COMM, 17_200.0, 0.50, 1_990.0, 1_424),
    ("8306.T", "Mitsubishi UFJ Financial Group Inc.", _TOKYO, _FIN, 2_360.0, 0.29, 160.0, 11_400),
    ("0700.HK", "Tencent Holdings Limited", _HONG_KONG, _COMM, 617.50, 0.30, 25.50, 9_130),
    ("9988.HK", "Alibaba Group Holding Limited", _HONG_KONG, _CONS, 152.80, 0.42, 6.90, 19_100),
    ("1299.HK", "AIA Group Limited", _HONG_KONG, _FIN, 80.20, 0.28, 5.60, 10_500),
    ("BTC-USD", "Bitcoin", _CRYPTO, _COIN, 91_200.0, 0.48, None, 19.95),
    ("ETH-USD", "Ether", _CRYPTO, _COIN, 3_020.0, 0.65, None, 120.7),
    ("SOL-USD", "Solana", _CRYPTO, _COIN, 138.40, 0.80, None, 558),
    ("XRP-USD", "XRP", _CRYPTO_FINE, _COIN, 2.2140, 0.75, None, 60_200),
    ("DOGE-USD", "Dogecoin", _CRYPTO_FINE, _COIN, 0.1502, 0.85, None, 151_800),
)


# Pairs of correlations: with the market factor and with the sector factor. A symbol has the pair of its sector, unless
# `_SYMBOL_LOADINGS` contains the symbol.
_SECTOR_LOADINGS = {
    _COIN: (0.25, 0.75),
    _FUND: (0.85, 0.1),
    _UTIL: (0.35, 0.5),
    _STAPLES: (0.4, 0.45),
    _ESTATE: (0.45, 0.4),
}
_DEFAULT_LOADINGS = (0.55, 0.45)
_SYMBOL_LOADINGS = {"GLD": (0.05, 0.0), "TLT": (-0.15, 0.0)}
_JUMPS_PER_YEAR = 4.0
# The deviation of the jumps of a symbol with volatility 1. With this value, jumps cause a sixth of the variance.
_JUMP_DEVIATION_PER_VOLATILITY = 0.2


@cache
def built_in_model() -> MarketModel:
    """Return the default model of the simulator.

    The market of this model never closes, so the simulator always produces prices.
    """
    return MarketModel(
        format=MODEL_FORMAT,
        version="built-in",
        about=str(__doc__),
        symbols=tuple(_symbol_model(_InstrumentRow(*row)) for row in _INSTRUMENT_ROWS),
        halts=HaltRule(move=0.1),
    )


@cache
def built_in_instruments() -> tuple[Instrument, ...]:
    """Return the reference data of the built-in model."""
    return built_in_model().instruments()


def _symbol_model(row: _InstrumentRow) -> SymbolModel:
    market, sector_loading = _SYMBOL_LOADINGS.get(row.symbol) or _SECTOR_LOADINGS.get(row.sector, _DEFAULT_LOADINGS)
    return SymbolModel(
        symbol=row.symbol,
        name=row.name,
        exchange=row.venue.exchange,
        sector=row.sector,
        currency=row.venue.currency,
        tick_size=row.venue.tick_size,
        price=row.price,
        eps=row.eps,
        shares=None if row.shares_millions is None else row.shares_millions * 1e6,
        volatility=row.volatility,
        market=market,
        sector_loading=sector_loading,
        jumps=Jumps(per_year=_JUMPS_PER_YEAR, deviation=round(row.volatility * _JUMP_DEVIATION_PER_VOLATILITY, 4)),
    )
