import { render } from "preact";
import { start } from "./live/market";
import { App } from "./shell/App";
import "./style/base.css";
import "./style/shell.css";

start();
const root = document.getElementById("app");
if (root) render(<App />, root);
