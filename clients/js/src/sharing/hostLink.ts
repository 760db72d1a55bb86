import type { Host, PageLink } from "./host.ts";
import { type ToClient, type ToHost, VERSION } from "./messages.ts";

/** `worker`: the streams of all pages are in a SharedWorker; `leader`: in one of the pages; `page`: in this page. */
export type Sharing = "worker" | "leader" | "page";

/** A client as the link to the host sees it. */
export interface Subscriber {
  receive: (message: ToClient) => void;
  /** Subscribe again at the current position, because the host is another one or has lost the subscriptions. */
  subscribeAgain: () => void;
}

const CHECK_MS = 15_000;
/** A host sends a sign of life every 15 s. After a longer silence, the page uses another host. */
const MAX_SILENCE_MS = 75_000;
const NAME = `tickwire-${VERSION}`;

/** Connects the clients of this page to the host of the streams. All clients with equal `sharing` use one link. */
export class HostLink {
  private readonly subscribers = new Map<string, Subscriber>();
  private send: (message: ToHost) => void = (message) => this.early.push(message);
  /** The messages that wait until this page's own host is loaded. */
  private early: ToHost[] = [];
  private lastSign = 0;
  private timer: ReturnType<typeof setInterval> | undefined;
  /** End the connection to the current host, so that it sends nothing more to this page. */
  private disconnect: () => void = () => undefined;

  constructor(public sharing: Sharing) {
    this.connect();
    if (typeof document === "undefined") return;
    addEventListener("pagehide", () => this.send({ type: "detach" }));
    addEventListener("pageshow", ({ persisted }) => persisted && this.subscribeAgain());
  }

  add(subscription: string, subscriber: Subscriber): void {
    this.subscribers.set(subscription, subscriber);
  }

  remove(subscription: string): void {
    this.subscribers.delete(subscription);
    this.post({ type: "unsubscribe", subscription });
  }

  post(message: ToHost): void {
    this.send(message);
  }

  private connect(): void {
    if (this.sharing === "worker") this.startWorker();
    else if (this.sharing === "leader") this.joinElection();
    else
      void loadHost().then(
        (host) => this.attachHost(host),
        () => setTimeout(() => this.connect(), CHECK_MS),
      );
  }

  private startWorker(): void {
    try {
      const worker = new SharedWorker(new URL("./worker.ts", import.meta.url), { type: "module", name: NAME });
      worker.onerror = () => this.replaceWorker();
      worker.port.onmessage = ({ data }: MessageEvent<ToClient[]>) => this.receive(data);
      this.send = (message) => worker.port.postMessage(message);
      this.disconnect = () => {
        worker.onerror = null;
        worker.port.onmessage = null;
        this.send({ type: "detach" });
        worker.port.close();
      };
      this.watch(() => this.replaceHost("worker"));
    } catch {
      this.replaceWorker();
    }
  }

  /** Use another kind of host, because the browser cannot load the script of the worker. */
  private replaceWorker(): void {
    this.replaceHost(availableSharing(false));
  }

  private replaceHost(sharing: Sharing): void {
    this.disconnect();
    this.disconnect = () => undefined;
    this.sharing = sharing;
    this.send = (message) => this.early.push(message);
    this.connect();
    this.subscribeAgain();
  }

  /** Call `onSilence` if the current host is silent for too long. */
  private watch(onSilence: () => void): void {
    clearInterval(this.timer);
    this.lastSign = performance.now();
    let silentChecks = 0;
    this.timer = setInterval(() => {
      if (this.subscribers.size === 0) this.lastSign = performance.now();
      const isSilent = performance.now() - this.lastSign >= MAX_SILENCE_MS;
      silentChecks = isSilent ? silentChecks + 1 : 0;
      // After a page was frozen, it first receives the messages that arrived in the meantime. So one silent check is
      // not enough.
      if (silentChecks < 2) return;
      clearInterval(this.timer);
      onSilence();
    }, CHECK_MS);
  }

  /** Use the host of the leading page, and become the leading page when there is no other. */
  private joinElection(): void {
    const id = crypto.randomUUID();
    const channel = new BroadcastChannel(NAME);
    let leader = "";
    channel.onmessage = ({ data }: MessageEvent<FromLeader | ToLeader>) => {
      if ("from" in data) return;
      if (data.to === "everybody") {
        leader = data.leader;
        this.subscribeAgain();
        // Messages of an earlier leader may still arrive. The new leader sends their events again.
      } else if (data.to === id && (leader === "" || leader === data.leader)) this.receive(data.messages);
    };
    this.send = (message) => channel.postMessage({ from: id, message } satisfies ToLeader);
    const election = new AbortController();
    this.disconnect = () => {
      election.abort();
      this.send({ type: "detach" });
      channel.close();
    };
    this.watch(() => this.replaceHost("page"));
    // The lock is held until the page ends, or until the code of the host cannot be loaded.
    const lead = (): Promise<never> => this.lead(id, channel).then(() => new Promise<never>(() => undefined));
    void navigator.locks.request(NAME, { signal: election.signal }, lead).catch(() => {
      if (!election.signal.aborted) setTimeout(() => this.replaceHost("leader"), CHECK_MS);
    });
  }

  private async lead(leader: string, channel: BroadcastChannel): Promise<void> {
    const host = await loadHost();
    // The leading page is its own host.
    clearInterval(this.timer);
    const pages = new Map<string, PageLink>();
    channel.onmessage = ({ data }: MessageEvent<FromLeader | ToLeader>) => {
      if (!("from" in data)) return;
      const { from, message } = data;
      const post = (messages: ToClient[]) => channel.postMessage({ leader, to: from, messages } satisfies FromLeader);
      const page = pages.get(from) ?? host.connect(post);
      pages.set(from, page);
      page.receive(message);
      if (message.type === "detach") pages.delete(from);
    };
    this.attachHost(host);
    this.subscribeAgain();
    channel.postMessage({ leader, to: "everybody", messages: [] } satisfies FromLeader);
  }

  private attachHost(host: Host): void {
    // A host in this page calls its page directly. The page handles these messages later, as if they came from another
    // page.
    const page = host.connect((messages) => queueMicrotask(() => this.receive(messages)));
    this.send = (message) => page.receive(message);
    for (const message of this.early.splice(0)) page.receive(message);
  }

  private receive(messages: ToClient[]): void {
    this.lastSign = performance.now();
    for (const message of messages) {
      if (message.type === "resync") this.subscribeAgain();
      else if (message.type !== "ping") this.subscribers.get(message.subscription)?.receive(message);
    }
    this.send({ type: "acknowledge" });
  }

  private subscribeAgain(): void {
    for (const subscriber of this.subscribers.values()) subscriber.subscribeAgain();
  }
}

/** A message of the leading page to one page, or to everybody when a page has become the leader. */
interface FromLeader {
  leader: string;
  to: string;
  messages: ToClient[];
}

interface ToLeader {
  from: string;
  message: ToHost;
}

/** Load the code of a host, which a page with a SharedWorker does not need. */
const loadHost = async (): Promise<Host> => new (await import("./host.ts")).Host();

const links = new Map<boolean, HostLink>();

/** Return the link of this page. With `share`, all pages of the origin use one host, if the browser allows it. */
export function linkToHost(share: boolean): HostLink {
  const link = links.get(share) ?? new HostLink(share ? availableSharing(true) : "page");
  links.set(share, link);
  return link;
}

function availableSharing(worker: boolean): Sharing {
  if (typeof document === "undefined") return "page";
  if (worker && typeof SharedWorker !== "undefined") return "worker";
  // Web Locks exist on pages with https and on localhost only.
  return typeof BroadcastChannel !== "undefined" && navigator.locks !== undefined ? "leader" : "page";
}
