import { effect } from "@preact/signals";
import { alerts } from "./alertStore";

let requested = false;

// The monitor is loaded with the first alert.
effect(() => {
  if (requested || alerts.value.length === 0) return;
  requested = true;
  import("./alertMonitor").catch(() => {
    // The server does not answer. The next change of the alerts starts another attempt.
    requested = false;
  });
});
