/** What a person sees of a command: results on stdout, progress and notes on stderr, on terminals of any width and in pipes. */
import type { Progress } from "../training/loop.ts";

/** What is needed of `process.stdout` and `process.stderr`. */
export interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

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

/** The numbers of a log line as text, one piece each. */
function numbersOf({ line }: Progress): string[] {
  const rest = Object.entries(line).filter(([name]) => !["step", "images", "of"].includes(name));
  return rest.map(([name, value]) => `${name} ${shown(value)}`);
}

/** How many images, and of how many where the line says `of`: in one piece, as they mean nothing apart. */
const imagesText = ({ images, line }: Progress): string =>
  line.of === undefined ? `images ${images}` : `images ${images} of ${line.of}`;

/** One log line as text. */
export function progressText(progress: Progress): string {
  const { step, steps, secondsLeft } = progress;
  const numbers = numbersOf(progress).join("  ");
  return [`step ${step}/${steps}`, imagesText(progress), numbers, `left ${duration(secondsLeft)}`]
    .filter(Boolean)
    .join("  ");
}

/** Terminals narrower than this get plain lines: there is no room to rewrite one. */
const NARROW = 40;
/** From here on there is room for a bar. */
const WIDE = 60;

/** As much of a log line as fits into `width` columns, whole pieces only, the most useful first. */
export function progressLine(progress: Progress, width: number): string {
  const { step, steps, secondsLeft } = progress;
  const bar = "█".repeat(Math.round((step / steps) * 10)).padEnd(10, "░");
  const pieces = [
    `step ${step}/${steps}`,
    `left ${duration(secondsLeft)}`,
    ...numbersOf(progress),
    imagesText(progress),
  ];
  let line = width >= WIDE ? bar : "";
  for (const piece of pieces) {
    const longer = line === "" ? piece : `${line}  ${piece}`;
    if (longer.length > width) break;
    line = longer;
  }
  return line;
}

/** Seconds between lines of transient progress where they cannot be rewritten. */
const BETWEEN_LINES = 10;

/** Text without control characters but tab and line feed: names in files are not to steer a terminal. */
export const printable = (text: string): string => text.replaceAll(/[^\P{Cc}\t\n]/gu, "\ufffd");

/** Prints results, notes and progress without letting them run into each other. */
export class Screen {
  readonly #out: OutputStream;
  readonly #err: OutputStream;
  /** Length of the line that is being rewritten; 0 if none is. */
  #open = 0;
  /** When the last line of progress was printed. */
  #printed = performance.now();

  constructor(out: OutputStream, err: OutputStream) {
    this.#out = out;
    this.#err = err;
  }

  /** A line of results. */
  print(line: string): void {
    this.clear();
    this.#out.write(`${printable(line)}\n`);
  }

  /** A line about what goes on. */
  note(line: string): void {
    this.clear();
    this.#err.write(`${printable(line)}\n`);
  }

  /** Rewrites one line on a terminal of at least 40 columns, prints a line elsewhere; transient ones not too often. */
  progress(progress: Progress): void {
    const columns = this.#err.columns ?? 0;
    if (!this.#err.isTTY || columns < NARROW) {
      const now = performance.now();
      if (progress.isTransient && now - this.#printed < 1000 * BETWEEN_LINES) return;
      this.#printed = now;
      this.#err.write(`${progressText(progress)}\n`);
      return;
    }
    const isLast = progress.step === progress.steps;
    this.#rewrite(progressLine(progress, columns - 1), isLast);
  }

  /** A line that will be rewritten by the next one; nothing where lines cannot be rewritten. */
  status(text: string): void {
    const columns = this.#err.columns ?? 0;
    if (this.#err.isTTY && columns >= NARROW) this.#rewrite(printable(text).slice(0, columns - 1), false);
  }

  #rewrite(line: string, isLast: boolean): void {
    this.#err.write(`\r${line.padEnd(this.#remains())}${isLast ? "\n" : ""}`);
    this.#open = isLast ? 0 : line.length;
  }

  /** Takes the line that is being rewritten off the terminal. */
  clear(): void {
    if (this.#open > 0) this.#err.write(`\r${" ".repeat(this.#remains())}\r`);
    this.#open = 0;
  }

  /** Columns of the open line that can still be written over: spaces beyond a terminal that became narrower would wrap. */
  #remains(): number {
    return Math.min(this.#open, Math.max(0, (this.#err.columns ?? this.#open + 1) - 1));
  }
}
