type Value = string | number | null;

/**
 * A spreadsheet would run a text that begins like this as a formula. In East Asian languages, a spreadsheet also
 * accepts the wide forms of these characters.
 */
const FORMULA = /^[=+\-@＝＋－＠\t\r]/;

/** Return rows as a CSV file (RFC 4180). Texts that look like formulas begin with an apostrophe. */
export const toCsv = (rows: readonly (readonly Value[])[]): string =>
  rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");

function field(value: Value): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Offer a text as a file with this name. */
export function download(name: string, text: string): void {
  // The byte order mark lets spreadsheets recognize UTF-8.
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
