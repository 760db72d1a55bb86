import { hierarchy, treemap, treemapSquarify } from "d3-hierarchy";

export interface Leaf {
  symbol: string;
  sector: string;
  /** The weight determines the area. */
  weight: number;
}

/** A rectangle in px. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface SectorBox extends Box {
  name: string;
  tiles: (Box & { symbol: string })[];
}

interface TreeNode {
  name: string;
  weight?: number;
  children?: TreeNode[];
}

/** The height of the title of a sector. */
export const TITLE_PX = 24;
/** With more tiles, the smallest tiles would be invisible. */
const MAX_TILES = 600;

/** Divide a rectangle among sectors and their symbols by weight, the largest first. */
export function layoutTreemap(leaves: readonly Leaf[], width: number, height: number): SectorBox[] {
  const shown = leaves
    .filter(({ weight }) => weight > 0)
    .sort((one, other) => other.weight - one.weight)
    .slice(0, MAX_TILES);
  if (shown.length === 0 || width <= 0 || height <= 0) return [];
  const sectors = Map.groupBy(shown, ({ sector }) => sector);
  const children = [...sectors].map(([name, members]): TreeNode => {
    return { name, children: members.map(({ symbol, weight }) => ({ name: symbol, weight })) };
  });
  const root = hierarchy<TreeNode>({ name: "", children })
    .sum(({ weight = 0 }) => weight)
    .sort((one, other) => (other.value ?? 0) - (one.value ?? 0));
  const placed = treemap<TreeNode>()
    .tile(treemapSquarify)
    .size([width, height])
    .paddingTop(({ depth }) => (depth === 1 ? TITLE_PX : 0))
    .paddingInner(1)
    .round(true)(root);
  return (placed.children ?? []).map((sector) => ({
    name: sector.data.name,
    ...boxOf(sector),
    tiles: (sector.children ?? []).map((tile) => ({ symbol: tile.data.name, ...boxOf(tile) })),
  }));
}

const boxOf = ({ x0, y0, x1, y1 }: { x0: number; y0: number; x1: number; y1: number }): Box => ({
  x: x0,
  y: y0,
  width: x1 - x0,
  height: y1 - y0,
});
