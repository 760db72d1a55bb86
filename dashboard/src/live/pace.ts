/** The intervals between two updates of a symbol, in ms, from the fastest pace to the slowest. */
export const PACES = [0, 100, 250, 500, 1_000] as const;

/** The load of the page in one second. */
export interface Load {
  /** The part of the frames that showed prices too late, from 0 to 1. */
  slowFrames: number;
  /** The delay of prices on their way to the page, in ms, beyond the interval of the stream. */
  delay: number;
}

/**
 * `steady` keeps its pace until readings demand another. `settling` waits until a slower pace has an effect. `probing`
 * has just chosen a faster pace, and returns to the slower one at the first sign of strain.
 */
type Phase = "steady" | "settling" | "probing";

export interface PaceState {
  /** The index in `PACES`. */
  level: number;
  phase: Phase;
  /** In the phase `steady`, the number of calm readings. In another phase, the number of readings. */
  run: number;
  /** The number of strained readings in a row while the pace is steady. */
  strained: number;
  /** The number of calm readings before the next faster pace. */
  patience: number;
}

/** A reading is strained if a value exceeds its limit, and calm if both values are below half of the limits. */
const STRAIN = { slowFrames: 0.1, delay: 1_000 };
/** One slow second may come from a view that opens. */
const STRAINED_READINGS = 2;
const SETTLING_READINGS = 3;
const PROBING_READINGS = 10;
/**
 * The number of calm readings before the page tries a faster pace: the first number, and the largest number. The number
 * grows each time the faster pace was too fast.
 */
const PATIENCE = { first: 10, last: 320 };

export const initialPace: PaceState = { level: 0, phase: "steady", run: 0, strained: 0, patience: PATIENCE.first };

type Verdict = "strained" | "calm" | "neither";

/** Return the state after a reading. */
export function nextPace(state: PaceState, load: Load): PaceState {
  return transitions[state.phase](state, judge(load));
}

const transitions: Record<Phase, (state: PaceState, verdict: Verdict) => PaceState> = {
  steady(state, verdict) {
    const { level, patience } = state;
    // A slow second now and then does not prevent the return to a faster pace.
    const run = verdict === "calm" ? state.run + 1 : state.run;
    const strained = verdict === "strained" ? state.strained + 1 : 0;
    if (strained >= STRAINED_READINGS) return level < PACES.length - 1 ? slower(state) : { ...state, run: 0, strained };
    if (run >= patience && level > 0) return { ...state, level: level - 1, phase: "probing", run: 0, strained: 0 };
    return { ...state, run, strained };
  },
  settling(state) {
    const run = state.run + 1;
    return run < SETTLING_READINGS ? { ...state, run } : { ...state, phase: "steady", run: 0 };
  },
  probing(state, verdict) {
    if (verdict === "strained") {
      return { ...slower(state), patience: Math.min(2 * state.patience, PATIENCE.last) };
    }
    const run = state.run + 1;
    return run < PROBING_READINGS ? { ...state, run } : { ...state, phase: "steady", run: 0, patience: PATIENCE.first };
  },
};

const slower = (state: PaceState): PaceState => ({
  ...state,
  level: state.level + 1,
  phase: "settling",
  run: 0,
  strained: 0,
});

function judge({ slowFrames, delay }: Load): Verdict {
  const strain = Math.max(slowFrames / STRAIN.slowFrames, delay / STRAIN.delay);
  return strain > 1 ? "strained" : strain < 0.5 ? "calm" : "neither";
}
