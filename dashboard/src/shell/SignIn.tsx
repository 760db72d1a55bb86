import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { rejection, signIn, signInReason, tokenIn } from "../api/session";
import { startStream } from "../live/marketData";
import { words } from "../words";

/** The text in the form. It outlives the form, so that the user can correct a token that the server rejects. */
const text = signal("");

/** The form for the bearer token, shown when the server requires one. */
export function SignIn() {
  useEffect(() => {
    // After a sign-out, the token must not stay in the page.
    if (signInReason.value === "signed-out" || signInReason.value === "expired") text.value = "";
  }, [signInReason.value]);
  const { signIn: labels } = words.value;
  const reason = signInReason.value === null ? "" : labels.reasons[signInReason.value];
  const why = rejection.value ? labels.rejectedBecause(rejection.value) : reason;
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        const token = tokenIn(text.value);
        if (!token) return;
        signIn(token);
        startStream();
      }}
    >
      <h1>{labels.title}</h1>
      <p>{labels.about}</p>
      {why && <p role="alert">{why}</p>}
      <label>
        {labels.token}
        <input
          type="password"
          name="token"
          autocomplete="current-password"
          spellcheck={false}
          required
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
        />
      </label>
      <button type="submit" class="main">
        {labels.submit}
      </button>
      <small>{labels.storageNote}</small>
    </form>
  );
}
