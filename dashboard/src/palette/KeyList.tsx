import { words } from "../words";
import { openDialog } from "./paletteKeys";

/** Every key of the page, by view. */
export function KeyList() {
  const { palette, shell } = words.value;
  return (
    <div class="key-list">
      <h2>{palette.keys}</h2>
      <div class="key-groups">
        {palette.keyGroups.map(({ title, keys }) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {keys.map(([key, action]) => (
                <div key={key}>
                  <dt>
                    <kbd>{key}</kbd>
                  </dt>
                  <dd>{action}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <button
        type="button"
        class="main"
        onClick={() => {
          openDialog.value = null;
        }}
      >
        {shell.close}
      </button>
    </div>
  );
}
