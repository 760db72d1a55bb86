import { absoluteServer, type ClientOptions, TickwireClient } from "../client.ts";

/** Prices may be old unless the stream is open. */
const STATE_STYLES = `
  :host(:not([data-state="open"])) { opacity: 0.5; }
  :host([data-mode="simulated"])::after, :host([data-mode="replay"])::after { content: attr(data-mode); font-size: 0.75em; }
`;

/** An element with a client, which starts with the element and again after each change of an attribute. */
export abstract class LiveElement extends HTMLElement {
  protected readonly root: ShadowRoot;
  private client: TickwireClient | null = null;

  constructor(styles: string) {
    super();
    this.root = this.attachShadow({ mode: "open" });
    // Unlike a style element, a constructed sheet is allowed by every Content-Security-Policy.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles + STATE_STYLES);
    this.root.adoptedStyleSheets = [sheet];
  }

  connectedCallback(): void {
    this.start();
  }

  disconnectedCallback(): void {
    this.stop();
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.start();
  }

  /** Show an empty element, and return the options of the client; null if an attribute is missing. */
  protected abstract reset(): ClientOptions | null;
  /** Register the handlers of a new client. */
  protected abstract listen(client: TickwireClient): void;

  /** The URL of the server: the attribute `server`, or the page. */
  protected get server(): string {
    return absoluteServer(this.getAttribute("server") ?? undefined);
  }

  private start(): void {
    this.stop();
    const options = this.reset();
    if (options === null) return;
    const token = this.getAttribute("token");
    const client = new TickwireClient({ server: this.server, ...(token === null ? {} : { token }), ...options });
    // The style of an element can show that its prices may be old.
    client.onState(({ state }) => {
      this.dataset.state = state;
    });
    // Nobody should take simulated or recorded prices for live ones.
    client.on("welcome", ({ mode }) => {
      this.dataset.mode = mode;
    });
    this.client = client;
    this.listen(client);
  }

  private stop(): void {
    this.client?.close();
    this.client = null;
    delete this.dataset.state;
    delete this.dataset.mode;
  }
}
