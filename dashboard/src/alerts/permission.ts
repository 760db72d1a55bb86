export type Permission = "granted" | "denied" | "impossible";

/** Ask whether the page may show notifications. Call this only after a click, because the browser asks the user. */
export async function requestPermission(): Promise<Permission> {
  if (!("Notification" in window) || !window.isSecureContext) return "impossible";
  const answer =
    Notification.permission === "default" ? await Notification.requestPermission() : Notification.permission;
  return answer === "granted" ? "granted" : "denied";
}
