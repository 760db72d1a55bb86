/** Example screens. The dictionaries have their names, by id. */
export const examples = [
  { id: "gainers", filter: "change_rate > 0.5%" },
  { id: "active", filter: "turnover > 10M and abs(change_rate) > 0.2%" },
  { id: "tight", filter: "(ask - bid) / last < 0.02%" },
  { id: "high", filter: "last >= high and volume > 0" },
  { id: "value", filter: 'sector = "Technology" and pe between 5 and 40' },
  { id: "above", filter: "last > vwap and change > 0" },
] as const;
