import { Component, type ComponentChildren } from "preact";
import { words } from "../words";
import { clearPrefs } from "./prefs";

/** Shows the error of a view that fails, instead of a blank page, and offers to delete the stored settings. */
export class ErrorBoundary extends Component<{ children: ComponentChildren }, { message: string | null }> {
  override state = { message: null as string | null };

  override componentDidCatch(error: unknown): void {
    // Report the error to the console and to services that collect the errors of pages.
    reportError(error);
    this.setState({ message: error instanceof Error ? error.message : String(error) });
  }

  override render() {
    if (this.state.message === null) return this.props.children;
    const { shell } = words.value;
    return (
      <div class="note" role="alert">
        <p>{shell.broken}</p>
        <p>
          <code>{this.state.message}</code>
        </p>
        <button type="button" onClick={() => location.reload()}>
          {shell.reload}
        </button>{" "}
        <button
          type="button"
          onClick={() => {
            clearPrefs();
            location.reload();
          }}
        >
          {shell.resetSettings}
        </button>
      </div>
    );
  }
}
