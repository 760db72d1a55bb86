import { compactRows } from "../board/columnChoice";
import { indicators, panelShown, toggleIndicator } from "../chart/chartSettings";
import { reconnect } from "../live/marketData";
import { navigate } from "../shell/route";
import { chosenRising, risings, theme, themes } from "../shell/theme";
import { viewNames } from "../shell/views";
import { type Language, language, languages, words } from "../words";
import type { Command } from "./commands";
import { openDialog } from "./paletteKeys";

/** Return every command, in the language of the page. */
export function allCommands(): Command[] {
  const { palette, views, shell, chart, board, connection } = words.value;
  const command = (id: string, title: string, run: () => void, more = ""): Command => ({ id, title, words: more, run });
  return [
    // Also find a view by the English name in its address, in every language.
    ...viewNames.map((name) => command(`view ${name}`, palette.goTo(views[name]), () => navigate(name), name)),
    ...indicators.map((name) =>
      command(`indicator ${name}`, palette.indicator(chart.indicatorOf[name]), () => toggleIndicator(name)),
    ),
    command("panel", palette.toggle(chart.panel), () => {
      panelShown.value = !panelShown.value;
    }),
    command("compact", palette.toggle(board.compact), () => {
      compactRows.value = !compactRows.value;
    }),
    ...themes.map((each) =>
      command(`theme ${each}`, palette.choose(shell.theme, shell.themes[each]), () => {
        theme.value = each;
      }),
    ),
    ...risings.map((each) =>
      command(`rising ${each}`, palette.choose(shell.colours, shell.risingColours[each]), () => {
        chosenRising.value = each;
      }),
    ),
    ...(Object.keys(languages) as Language[]).map((each) =>
      command(`language ${each}`, palette.choose(shell.language, languages[each].name), () => {
        language.value = each;
      }),
    ),
    command("reconnect", connection.reconnectNow, reconnect),
    command("keys", palette.keys, () => {
      openDialog.value = { name: "keys" };
    }),
  ];
}
