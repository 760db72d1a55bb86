/** Example scenarios. docs/simulator.md describes the format. */
export const scenarioTemplates = {
  crash: `name = "A crash"

[[event]]
at = "2s"
do = "crash"
fall = 0.08
over = "10s"
recover = "1m"
`,
  halt: `name = "A trading halt"

[[event]]
at = "1s"
do = "halt"
symbols = ["AAPL", "BTC-*"]
lasts = "20s"
`,
  burst: `name = "A burst of trades"

[[event]]
at = "1s"
do = "burst"
times = 20
lasts = "30s"
`,
  mute: `name = "A silent symbol"

[[event]]
at = "1s"
do = "mute"
symbols = ["MSFT"]
lasts = "1m"
`,
};

export type Template = keyof typeof scenarioTemplates;
export const templateNames = Object.keys(scenarioTemplates) as Template[];
