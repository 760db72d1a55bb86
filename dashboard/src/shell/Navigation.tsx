import { useLayoutEffect, useRef } from "preact/hooks";
import { unseenCount } from "../alerts/alertStore";
import { words } from "../words";
import { href, route } from "./route";
import { viewNames } from "./views";

/** The tabs of the views: on a phone at the bottom of the screen, and otherwise under the header. */
export function Navigation() {
  const bar = useRef<HTMLElement>(null);
  const { view } = route.value;
  // On a phone, the bar is wider than the screen, so scroll the tab of the current view into view.
  useLayoutEffect(() => {
    bar.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [view]);
  return (
    <nav ref={bar} class="views" aria-label={words.value.shell.views}>
      {viewNames.map((name) => (
        <a key={name} href={href(name)} aria-current={view === name ? "page" : undefined}>
          {words.value.views[name]}
          {name === "alerts" && unseenCount.value > 0 && <span class="badge">{unseenCount.value}</span>}
        </a>
      ))}
    </nav>
  );
}
