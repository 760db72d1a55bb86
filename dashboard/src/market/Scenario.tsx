import { useState } from "preact/hooks";
import { isAdmin } from "../api/rights";
import { words } from "../words";
import { FileButton } from "./FileButton";
import { Refused } from "./Refused";
import { endScenario, simulator, startScenario } from "./simulator";
import { type Template, templateNames, templates } from "./templates";

/** The script that the simulation plays, and another one. */
export function Scenario() {
  const { market: say } = words.value;
  const [script, setScript] = useState(templates.crash);
  const playing = simulator.value?.scenario ?? null;
  const off = !isAdmin.value;
  const button = { type: "button", "aria-describedby": "reason" } as const;
  return (
    <section class="card scenario">
      <h2>{say.scenario}</h2>
      <p class="big">{playing ?? say.none}</p>
      <p class="muted">{say.scenarioAbout}</p>
      <div class="buttons">
        <Templates off={off} choose={(name) => setScript(templates[name])} />
        <FileButton name={say.fromFile} accept=".toml,text/plain" disabled={off} take={setScript} />
      </div>
      <textarea
        aria-label={say.script}
        rows={9}
        spellcheck={false}
        value={script}
        disabled={off}
        onInput={({ currentTarget }) => setScript(currentTarget.value)}
      />
      <div class="buttons">
        <button {...button} class="main" disabled={off} onClick={() => void startScenario(script)}>
          {say.scenarioStart}
        </button>
        <button {...button} disabled={off || playing === null} onClick={() => void endScenario()}>
          {say.scenarioEnd}
        </button>
      </div>
      <Refused of="scenario" />
    </section>
  );
}

function Templates({ off, choose }: { off: boolean; choose: (name: Template) => void }) {
  const { market: say } = words.value;
  return (
    <label>
      <span>{say.templates}</span>{" "}
      <select disabled={off} onChange={({ currentTarget }) => choose(currentTarget.value as Template)}>
        {templateNames.map((name) => (
          <option key={name} value={name}>
            {say.templateOf[name]}
          </option>
        ))}
      </select>
    </label>
  );
}
