import { computed, signal } from "@preact/signals";
import { request } from "../api/http";
import { isAdmin } from "../api/rights";
import type { Command, MarketModel, Simulator } from "../api/types";
import { withPlainTexts } from "../format/texts";
import { reachable, status } from "../live/marketData";

/** The last response of the server, and its time in ms since 1970. */
const lastAnswer = signal<{ at: number; state: Simulator } | null>(null);

/** The feed: the last response of the server, updated by the status events since. */
export const simulator = computed<Simulator | null>(() => {
  const state = lastAnswer.value?.state;
  const update = status.value;
  if (!state) return null;
  // While the server does not answer, the state is unknown.
  if (!reachable.value) return { ...state, state: "waiting", time: null, commands: [] };
  if (!update) return state;
  const { speed, halted, scenario, notice } = update;
  const model = state.model && update.model ? { ...state.model, version: update.model } : state.model;
  // Status events contain no details.
  const notice_detail = notice === state.notice ? state.notice_detail : null;
  return { ...state, state: update.state, speed, halted, scenario, notice, notice_detail, model };
});

/** Whether the feed accepts a command and the user may send it. */
export const canSend = (command: Command): boolean => isAdmin.value && !!simulator.value?.commands.includes(command);

/** Return the market's time now, in ms since 1970; null for a feed without a clock. */
export function marketTime(): number | null {
  const now = simulator.value;
  if (!lastAnswer.value || now?.time == null) return null;
  const passed = now.state === "running" ? (Date.now() - lastAnswer.value.at) * (now.speed ?? 1) : 0;
  return now.time / 1000 + passed;
}

export const model = signal<MarketModel | null>(null);

/** The card that sent a request. */
export type CardName = "control" | "scenario" | "model";

/** The error of the last request and its card; null after a success. */
export const requestError = signal<{ card: CardName; message: string } | null>(null);

/** A seek needs this long to play everything before its target. */
const RELOAD_DELAY_MS = 400;

export async function loadSimulator(): Promise<void> {
  try {
    store(await request<Simulator>("v1/simulator"));
    const version = simulator.value?.model?.version;
    if (isAdmin.value && version && model.value?.version !== version) {
      model.value = await request<MarketModel>("v1/simulator/model");
    }
  } catch {
    // Ignore the error, because the header shows that the server does not answer.
  }
}

export const sendCommand = (command: Command | `${Command}=${string}`): Promise<void> =>
  send("control", "v1/simulator", { method: "POST", json: { command } });

export const startScenario = (script: string): Promise<void> =>
  send("scenario", "v1/simulator/scenario", { method: "PUT", body: script });

export const endScenario = (): Promise<void> => send("scenario", "v1/simulator/scenario", { method: "DELETE" });

export const replaceModel = (json: string): Promise<void> =>
  send("model", "v1/simulator/model", { method: "PUT", body: json });

async function send(card: CardName, path: string, init: Parameters<typeof request>[1]): Promise<void> {
  try {
    store(await request<Simulator>(path, init));
    requestError.value = null;
    window.setTimeout(() => void loadSimulator(), RELOAD_DELAY_MS);
  } catch (error) {
    requestError.value = { card, message: error instanceof Error ? error.message : String(error) };
  }
}

function store(state: Simulator): void {
  lastAnswer.value = { at: Date.now(), state: withPlainTexts(state) };
}
