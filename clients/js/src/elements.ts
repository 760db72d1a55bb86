import { ChartElement } from "./elements/chart.ts";
import { TickerElement } from "./elements/ticker.ts";

customElements.define("tickwire-ticker", TickerElement);
customElements.define("tickwire-chart", ChartElement);

export { ChartElement, TickerElement };
