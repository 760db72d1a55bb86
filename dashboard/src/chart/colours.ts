/** The colours of a canvas, which cannot use custom properties. */
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
  /** The colours of lines that have no meaning of their own. */
  series: string[];
}

const FAINT_OPACITY = 0.4;

/** Read the current custom properties. A probe element resolves `light-dark()` and references to other properties. */
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
  const series = [1, 2, 3].map((number) => read(`series-${number}`));
  probe.remove();
  return { ground, text, muted, line, up, down, accent, series, upFaint: faint(up), downFaint: faint(down) };
}

const faint = (rgb: string): string => withOpacity(rgb, FAINT_OPACITY);

/** Return a colour such as "rgb(1, 2, 3)" with an opacity. */
export const withOpacity = (rgb: string, opacity: number): string =>
  rgb.replace("rgb(", "rgba(").replace(")", `, ${opacity})`);
