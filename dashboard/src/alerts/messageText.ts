import { plainText } from "../format/texts";

const MAX_LENGTH = 2_000;

/** Return the text of a message: its member `text`; the string, if the JSON is a string; or the JSON itself. */
export function messageText(json: string): string {
  const value = parsed(json);
  const text = hasText(value) ? value.text : typeof value === "string" ? value : json;
  return plainText(text).slice(0, MAX_LENGTH);
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

const hasText = (value: unknown): value is { text: string } =>
  typeof value === "object" && value !== null && typeof (value as { text?: unknown }).text === "string";
