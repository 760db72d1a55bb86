import { serverText } from "../words/serverText";
import { type CardName, requestError } from "./simulator";

/** The error of the last request of a card. */
export function RequestError({ card }: { card: CardName }) {
  return requestError.value?.card === card ? <p role="alert">{serverText(requestError.value.message)}</p> : null;
}
