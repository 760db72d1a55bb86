import { computed, signal } from "@preact/signals";
import { ask } from "../api/http";
import { isAdmin } from "../api/rights";
import type { Command, Model, Simulator } from "../api/types";
import { connection, status } from "../live/market";

const answered = signal<{ at: number; state: Simulator } | null>(null); // when, in ms since 1970

/** The feed: what the server answered last, and what `status` events have said since. */
export const simulator = computed<Simulator | null>(() => {
  const state = answered.value?.state;
  const told = status.value;
  if (!state) return null;
  if (connection.value !== "open") return { ...state, state: "waiting", time: null, commands: [] }; // who knows
  if (!told) return state;
  const { speed, halted, scenario, notice } = told;
  const model = state.model && told.model ? { ...state.model, version: told.model } : state.model;
  return { ...state, state: told.state, speed, halted, scenario, notice, model };
});

/** Whether the feed takes a command, and one may give it. */
export const may = (command: Command): boolean => isAdmin.value && !!simulator.value?.commands.includes(command);

/** What the market's clock shows now, in ms; null where it has none. */
export function marketTime(): number | null {
  const now = simulator.value;
  if (!answered.value || now?.time == null) return null;
  const passed = now.state === "running" ? (Date.now() - answered.value.at) * (now.speed ?? 1) : 0;
  return now.time / 1000 + passed;
}

export const model = signal<Model | null>(null);

/** Where on the page one asks for something. */
export type Place = "control" | "scenario" | "model";

/** What was wrong with what was asked last, and where; null where it was done, which the state shows. */
export const refused = signal<{ of: Place; why: string } | null>(null);

const SOON = 400; // ms: a seek has played what lies before

export async function readSimulator(): Promise<void> {
  try {
    take(await ask<Simulator>("v1/simulator"));
    const version = simulator.value?.model?.version;
    if (isAdmin.value && version && model.value?.version !== version) {
      model.value = await ask<Model>("v1/simulator/model");
    }
  } catch {
    // the header tells that the server is away
  }
}

export const order = (command: Command | `${Command}=${string}`): Promise<void> =>
  change("control", "v1/simulator", { method: "POST", json: { command } });

export const startScenario = (script: string): Promise<void> =>
  change("scenario", "v1/simulator/scenario", { method: "PUT", body: script });

export const endScenario = (): Promise<void> => change("scenario", "v1/simulator/scenario", { method: "DELETE" });

export const useModel = (json: string): Promise<void> =>
  change("model", "v1/simulator/model", { method: "PUT", body: json });

async function change(of: Place, path: string, how: Parameters<typeof ask>[1]): Promise<void> {
  try {
    take(await ask<Simulator>(path, how));
    refused.value = null;
    window.setTimeout(() => void readSimulator(), SOON);
  } catch (error) {
    refused.value = { of, why: error instanceof Error ? error.message : String(error) };
  }
}

function take(state: Simulator): void {
  answered.value = { at: Date.now(), state };
}
