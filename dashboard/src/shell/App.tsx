import { effect } from "@preact/signals";
import { refused } from "../api/session";
import { mode } from "../live/market";
import { words } from "../words";
import { Crowded } from "./Crowded";
import { Header } from "./Header";
import { Navigation } from "./Navigation";
import { route } from "./route";
import { SignIn } from "./SignIn";
import { View } from "./View";
import "./theme";

effect(() => {
  const made = mode.value === "simulated" || mode.value === "replay" ? `${words.value.modes[mode.value]} · ` : "";
  document.title = `${made}${words.value.views[route.value.view]} · Tickwire`;
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
      <Crowded />
      <main id="content" tabIndex={-1}>
        {refused.value === null ? <View name={route.value.view} /> : <SignIn />}
      </main>
    </>
  );
}
