import { words } from "../words";
import { href, route } from "./route";
import { listed } from "./views";

/** Tabs under the header; on a phone a bar at the bottom, in reach of a thumb. */
export function Navigation() {
  return (
    <nav class="views" aria-label={words.value.shell.views}>
      {listed.map((name) => (
        <a key={name} href={href(name)} aria-current={route.value.view === name ? "page" : undefined}>
          {words.value.views[name]}
        </a>
      ))}
    </nav>
  );
}
