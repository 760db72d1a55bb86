/**
 * Characters that change the direction of the text around them. A name with such characters could reorder the numbers
 * beside it.
 */
const DIRECTION_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Return a text that others have written, without the characters that change the direction of text. */
export const plainText = (text: string): string => text.replace(DIRECTION_CONTROLS, "");

/** Apply `plainText` to every text of an object. */
export function withPlainTexts<T extends object>(value: T): T {
  const entries = Object.entries(value).map(([key, each]) => [key, typeof each === "string" ? plainText(each) : each]);
  return Object.fromEntries(entries) as T;
}
