import { useState } from "preact/hooks";
import { refused, signIn } from "../api/session";
import { start } from "../live/market";
import { words } from "../words";

/** Asks for a bearer token, where the server does. */
export function SignIn() {
  const [text, setText] = useState("");
  const { signIn: say } = words.value;
  const why = refused.value === null ? "" : say.why[refused.value];
  return (
    <form
      class="sign-in"
      onSubmit={(event) => {
        event.preventDefault();
        if (!text.trim()) return;
        signIn(text.trim());
        start();
      }}
    >
      <h1>{say.title}</h1>
      <p>{say.about}</p>
      {why && <p role="alert">{why}</p>}
      <label>
        {say.token}
        <input
          type="password"
          name="token"
          autocomplete="current-password"
          spellcheck={false}
          required
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="main">
        {say.go}
      </button>
      <small>{say.kept}</small>
    </form>
  );
}
