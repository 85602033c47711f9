/** How a run shows its progress: a line that is rewritten on a terminal, plain lines elsewhere. */
import type { Progress } from "../training/loop.ts";

/** Minutes and seconds. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

const shown = (x: number): string =>
  Number.isInteger(x) ? String(x) : Math.abs(x) < 1e-3 ? x.toExponential(2) : x.toPrecision(4);

/** One log line as text. */
export function progressText({ step, steps, images, secondsLeft, line }: Progress): string {
  const rest = Object.entries(line).filter(([name]) => name !== "step" && name !== "images");
  const numbers = rest.map(([name, value]) => `${name} ${shown(value)}`).join("  ");
  return `step ${step}/${steps}  images ${images}  ${numbers}  left ${duration(secondsLeft)}`;
}

/** A printer of progress: rewrites one line on a terminal of at least 40 columns, else prints lines. */
export function progressPrinter(stream: NodeJS.WriteStream = process.stderr): (progress: Progress) => void {
  return (progress) => {
    const columns = stream.columns ?? 0;
    const text = progressText(progress);
    if (!stream.isTTY || columns < 40) {
      stream.write(`${text}\n`);
      return;
    }
    const share = progress.step / progress.steps;
    const bar = "█".repeat(Math.round(share * 10)).padEnd(10, "░");
    const line = `${bar} ${text}`.slice(0, columns - 1);
    stream.write(`\r${line.padEnd(columns - 1)}${progress.step === progress.steps ? "\n" : ""}`);
  };
}
