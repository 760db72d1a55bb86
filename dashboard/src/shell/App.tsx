import { effect } from "@preact/signals";
import { signInReason } from "../api/session";
import { mode } from "../live/marketData";
import { PaletteHost } from "../palette/PaletteHost";
import { words } from "../words";
import { ClosedStreamNotice } from "./ClosedStreamNotice";
import { ConnectionLimitNotice } from "./ConnectionLimitNotice";
import { Header } from "./Header";
import { Navigation } from "./Navigation";
import { href, route } from "./route";
import { SignIn } from "./SignIn";
import { titlePrice } from "./title";
import { View } from "./View";
import "./theme";

effect(() => {
  const prefix = mode.value === "simulated" || mode.value === "replay" ? `${words.value.modes[mode.value]} · ` : "";
  const { view } = route.value;
  const price = titlePrice.value && `${titlePrice.value} · `;
  document.title = `${price}${prefix}${view === null ? words.value.shell.notFound : words.value.views[view]} · Tickwire`;
  document.documentElement.dataset.mode = mode.value ?? "";
});

export function App() {
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("content")?.focus()}>
        {words.value.shell.skip}
      </button>
      <Header />
      <Navigation />
      <ClosedStreamNotice />
      <ConnectionLimitNotice />
      <main id="content" tabIndex={-1}>
        <Content />
      </main>
      <PaletteHost />
    </>
  );
}

function Content() {
  const { view } = route.value;
  if (signInReason.value !== null) return <SignIn />;
  return view === null ? <NotFound /> : <View name={view} />;
}

function NotFound() {
  const { shell, views } = words.value;
  return (
    <div class="note">
      <h1>{shell.notFound}</h1>
      <p>{shell.noSuchView}</p>
      <p>
        <a href={href("board")}>{views.board}</a>
      </p>
    </div>
  );
}
