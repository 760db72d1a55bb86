import { useEffect } from "preact/hooks";
import { shortTime } from "../format/times";
import { quotes } from "../live/marketData";
import { href } from "../shell/route";
import { words } from "../words";
import { AlertForms } from "./AlertForms";
import type { Alert } from "./alertRules";
import {
  alerts,
  clearFirings,
  disableAlert,
  enableAlert,
  firings,
  notificationsOn,
  removeAlert,
  seenAt,
  soundOn,
} from "./alertStore";
import { firingText, lineText } from "./firingText";
import { Messages } from "./Messages";
import { requestPermission } from "./permission";
import "./alerts.css";

/** The view of alerts: forms for new alerts, the list of alerts, the history, and messages of the server's users. */
export default function AlertsView() {
  const { views } = words.value;
  const newest = firings.value[0]?.at ?? 0;
  useEffect(() => {
    if (newest > seenAt.value) seenAt.value = newest;
  }, [newest]);
  return (
    <section class="alerts">
      <h1 class="visually-hidden">{views.alerts}</h1>
      <div>
        <AlertForms />
        <AlertList />
      </div>
      <div>
        <History />
        <Messages />
      </div>
    </section>
  );
}

function AlertList() {
  const { alerts: labels } = words.value;
  return (
    <section class="card">
      <h2>{labels.list}</h2>
      {alerts.value.length === 0 && <p class="muted">{labels.empty}</p>}
      <ul>
        {alerts.value.map((alert) => (
          <AlertItem key={alert.id} alert={alert} />
        ))}
      </ul>
      <Delivery />
    </section>
  );
}

function AlertItem({ alert }: { alert: Alert }) {
  const { alerts: labels } = words.value;
  const text = alert.kind === "price" ? lineText(alert) : alert.filter;
  const address =
    alert.kind === "price" ? href("chart", [alert.symbol]) : href("screener", [], { filter: alert.filter });
  const toggle = (): void => {
    if (alert.on) disableAlert(alert.id);
    else enableAlert(alert.id, alert.kind === "price" ? (quotes.get(alert.symbol)?.last ?? null) : null);
  };
  return (
    <li data-on={alert.on || undefined}>
      <label class="check">
        <input type="checkbox" aria-label={labels.watch(text)} checked={alert.on} onChange={toggle} />
      </label>
      <a href={address}>{text}</a>
      <small>{alert.on ? labels.watching : labels.off}</small>
      <button type="button" class="quiet" aria-label={labels.remove(text)} onClick={() => removeAlert(alert.id)}>
        ✕
      </button>
    </li>
  );
}

/** The ways in which alerts reach the user besides the list. */
function Delivery() {
  const { alerts: labels, screener } = words.value;
  const toggleNotifications = async (): Promise<void> => {
    notificationsOn.value = !notificationsOn.value && (await requestPermission()) === "granted";
  };
  const blocked = !("Notification" in window) || Notification.permission === "denied";
  return (
    <div class="delivery">
      <label class="check">
        <input
          type="checkbox"
          checked={soundOn.value}
          onChange={() => {
            soundOn.value = !soundOn.value;
          }}
        />
        {labels.sound}
      </label>
      <label class="check">
        <input type="checkbox" checked={notificationsOn.value} onChange={() => void toggleNotifications()} />
        {labels.notification}
      </label>
      {blocked && <small>{"Notification" in window ? screener.notify.denied : screener.notify.impossible}</small>}
      <small>{labels.about}</small>
    </div>
  );
}

function History() {
  const { alerts: labels, screener } = words.value;
  return (
    <section class="card">
      <header>
        <h2>{labels.history}</h2>
        {firings.value.length > 0 && (
          <button type="button" class="quiet" onClick={clearFirings}>
            {screener.clear}
          </button>
        )}
      </header>
      {firings.value.length === 0 && <p class="muted">{labels.noHistory}</p>}
      <ul aria-live="polite">
        {firings.value.map((firing) => (
          <li key={firing.id}>
            <time>{shortTime(firing.at)}</time>
            <span>{firingText(firing)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
