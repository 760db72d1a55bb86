"""The fields that a filter can compare: the numbers and texts of a quote and of its instrument."""

from __future__ import annotations

from difflib import get_close_matches

from tickwire.core.quote import QUOTE_FIELDS, FieldKind

QUOTE_NUMBER_FIELDS = tuple(field.name for field in QUOTE_FIELDS.values() if field.kind is not FieldKind.TEXT)
"""The numeric fields of a quote, in the order of `Quote`. Ticks can change these fields. `ts` is in microseconds."""
INSTRUMENT_NUMBER_FIELDS = ("tick_size", "eps", "shares", "volatility", "lot_size")
"""The numeric fields of an instrument that its quotes do not contain."""
NUMBER_FIELDS = (*QUOTE_NUMBER_FIELDS, *INSTRUMENT_NUMBER_FIELDS)
TEXT_FIELDS = ("symbol", "name", "name_zh", "exchange", "sector", "currency", "source")
PERCENT_FIELDS = frozenset(field.name for field in QUOTE_FIELDS.values() if field.kind is FieldKind.PERCENT)
"""The fields in percent. A value of 5 in such a field means `5%`."""

CHINESE_FIELD_NAMES = {
    "代码": "symbol", "名称": "name_zh", "英文名称": "name", "交易所": "exchange",
    "行业": "sector", "货币": "currency", "最新价": "last", "买价": "bid",
    "卖价": "ask", "买量": "bid_size", "卖量": "ask_size", "成交量": "volume",
    "成交额": "turnover", "开盘价": "open", "最高价": "high", "最低价": "low",
    "昨收价": "prev_close", "涨跌额": "change", "涨跌幅": "change_rate", "均价": "vwap",
    "市盈率": "pe", "市值": "market_cap", "时间": "ts", "最小变动价位": "tick_size",
    "每股收益": "eps", "股本": "shares", "波动率": "volatility", "每手股数": "lot_size",
}  # fmt: skip
"""The Chinese name of each field, which a filter may use instead of the English name."""

FIELD_INDEX = {name: place for place, name in enumerate(NUMBER_FIELDS)}


def suggest_field(name: str) -> str | None:
    """Return the known field whose name is most similar to `name`, or None if no name is similar."""
    near = get_close_matches(name[:40].lower(), (*NUMBER_FIELDS, *TEXT_FIELDS, *CHINESE_FIELD_NAMES), 1)
    return near[0] if near else None
