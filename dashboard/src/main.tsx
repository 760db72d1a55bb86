import { render } from "preact";
import "./alerts/startMonitor";
import { identify } from "./api/identity";
import { signInReason } from "./api/session";
import { startStream } from "./live/marketData";
import { App } from "./shell/App";
import "./style/base.css";
import "./style/shell.css";

void identify().then(() => {
  if (signInReason.value === null) startStream();
});
const root = document.getElementById("app");
if (root) render(<App />, root);
