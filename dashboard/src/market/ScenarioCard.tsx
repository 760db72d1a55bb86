import { signal } from "@preact/signals";
import { isAdmin } from "../api/rights";
import { words } from "../words";
import { FileButton } from "./FileButton";
import { RequestError } from "./RequestError";
import { scenarioTemplates, type Template, templateNames } from "./scenarioTemplates";
import { endScenario, simulator, startScenario } from "./simulator";

/** The text of the editor, which is kept while another view is open. */
const script = signal(scenarioTemplates.crash);
/** The user's own text that a template or a file has replaced; null if there is none. */
const replaced = signal<string | null>(null);
const texts = Object.values(scenarioTemplates);

function replaceScript(by: string): void {
  if (!texts.includes(script.value)) replaced.value = script.value;
  script.value = by;
}

function restoreScript(): void {
  script.value = replaced.value ?? script.value;
  replaced.value = null;
}

/** The running scenario, and an editor to start another. */
export function ScenarioCard() {
  const { market: labels } = words.value;
  const playing = simulator.value?.scenario ?? null;
  const off = !isAdmin.value;
  const button = { type: "button", "aria-describedby": "reason" } as const;
  return (
    <section class="card scenario">
      <h2>{labels.scenario}</h2>
      <p class="big">{playing ?? labels.none}</p>
      <p class="muted">{labels.scenarioAbout}</p>
      <div class="buttons">
        <Templates off={off} choose={(name) => replaceScript(scenarioTemplates[name])} />
        <FileButton name={labels.fromFile} accept=".toml,text/plain" disabled={off} onText={replaceScript} />
        {replaced.value !== null && (
          <button type="button" class="quiet" onClick={restoreScript}>
            {labels.restoreScript}
          </button>
        )}
      </div>
      <textarea
        aria-label={labels.script}
        rows={9}
        spellcheck={false}
        value={script.value}
        disabled={off}
        onInput={({ currentTarget }) => {
          script.value = currentTarget.value;
        }}
      />
      <div class="buttons">
        <button {...button} class="main" disabled={off} onClick={() => void startScenario(script.value)}>
          {labels.scenarioStart}
        </button>
        <button {...button} disabled={off || playing === null} onClick={() => void endScenario()}>
          {labels.scenarioEnd}
        </button>
      </div>
      <RequestError card="scenario" />
    </section>
  );
}

function Templates({ off, choose }: { off: boolean; choose: (name: Template) => void }) {
  const { market: labels } = words.value;
  return (
    <label>
      <span>{labels.templates}</span>{" "}
      <select disabled={off} onChange={({ currentTarget }) => choose(currentTarget.value as Template)}>
        {templateNames.map((name) => (
          <option key={name} value={name}>
            {labels.templateOf[name]}
          </option>
        ))}
      </select>
    </label>
  );
}
