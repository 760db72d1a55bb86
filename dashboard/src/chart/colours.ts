/** The colours that a canvas needs, as the style has them now. */
export interface Colours {
  ground: string;
  text: string;
  muted: string;
  line: string;
  up: string;
  down: string;
  upFaint: string;
  downFaint: string;
  accent: string;
}

const FAINT = 0.4;

/** Read the custom properties of the style; an element resolves `light-dark()` and names of others for us. */
export function colours(within: HTMLElement): Colours {
  const probe = document.createElement("i");
  within.append(probe);
  const read = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const [ground, text, muted, line, up, down, accent] = [
    "surface",
    "text",
    "muted",
    "line",
    "up",
    "down",
    "accent",
  ].map(read) as [string, string, string, string, string, string, string];
  probe.remove();
  return { ground, text, muted, line, up, down, accent, upFaint: faint(up), downFaint: faint(down) };
}

const faint = (rgb: string): string => rgb.replace("rgb(", "rgba(").replace(")", `, ${FAINT})`);
