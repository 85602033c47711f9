import { describe, expect, test } from "vitest";
import { duration, type OutputStream, printable, progressLine, progressText, Screen } from "../../src/cli/progress.ts";
import type { Progress } from "../../src/training/loop.ts";

const at = (step: number): Progress => ({
  ...{ step, steps: 400, images: 32 * step, secondsLeft: 65 },
  line: { step, images: 32 * step, loss: 0.123456, gradientNorm: 2, learningRate: 1e-5 },
});

/** A stream that keeps what is written; the terminals it stands for have `columns`. */
function recorded(columns?: number) {
  const written: string[] = [];
  const stream: OutputStream = {
    ...(columns !== undefined && { isTTY: true, columns }),
    write: (text) => written.push(text),
  };
  return { stream, written };
}

/** What a terminal shows after these writes: carriage returns start a line over. */
function displayed(written: readonly string[], columns: number): string[] {
  const lines = [""];
  let column = 0;
  for (const character of written.join("")) {
    if (character === "\n") {
      lines.push("");
      column = 0;
    } else if (character === "\r") column = 0;
    else {
      const line = lines.pop()!.padEnd(column);
      lines.push(line.slice(0, column) + character + line.slice(column + 1));
      column++;
      expect(column).toBeLessThan(columns); // the last column would wrap
    }
  }
  return lines.map((line) => line.trimEnd());
}

describe("progress", () => {
  test.each([undefined, 0, 20, 39])("is plain lines in a pipe and on %s columns", (columns) => {
    const { stream, written } = recorded(columns);
    const screen = new Screen(recorded().stream, stream);
    screen.progress(at(10));
    screen.progress(at(20));
    expect(written).toEqual([`${progressText(at(10))}\n`, `${progressText(at(20))}\n`]);
    expect(written[0]).toBe("step 10/400  images 320  loss 0.1235  gradientNorm 2  learningRate 1.00e-5  left 1:05\n");
  });

  test.each([40, 80, 200])("rewrites one line on %s columns and ends it with the run", (columns) => {
    const { stream, written } = recorded(columns);
    const screen = new Screen(recorded().stream, stream);
    for (const step of [100, 200, 300]) screen.progress(at(step));
    expect(displayed(written, columns)).toHaveLength(1);
    screen.progress(at(400));
    const lines = displayed(written, columns);
    expect(lines).toEqual([progressLine(at(400), columns - 1), ""]);
  });

  test("shows whole pieces only, the most useful first", () => {
    expect(progressLine(at(200), 39)).toBe("step 200/400  left 1:05  loss 0.1235");
    expect(progressLine(at(200), 79)).toBe("█████░░░░░  step 200/400  left 1:05  loss 0.1235  gradientNorm 2");
    expect(progressLine(at(200), 120)).toMatch(/learningRate 1\.00e-5 {2}images 6400$/);
    expect(progressLine(at(200), 5)).toBe("");
  });

  test("says of how many images in one piece, on any terminal and in a pipe", () => {
    const sampling = { ...at(200), images: 32, line: { of: 64 } };
    expect(progressText(sampling)).toBe("step 200/400  images 32 of 64  left 1:05");
    expect(progressLine(sampling, 39)).toBe("step 200/400  left 1:05");
    expect(progressLine({ ...sampling, step: 1, steps: 10 }, 39)).toBe("step 1/10  left 1:05  images 32 of 64");
    expect(progressLine(sampling, 79)).toBe("█████░░░░░  step 200/400  left 1:05  images 32 of 64");
    expect(progressText({ ...at(200), line: {} })).toBe("step 200/400  images 6400  left 1:05");
  });

  test("writes nothing beyond a terminal that became narrower", () => {
    const { stream, written } = recorded(200);
    const screen = new Screen(recorded().stream, stream);
    screen.progress(at(100));
    Object.assign(stream, { columns: 40 });
    written.length = 0;
    screen.progress(at(101));
    screen.progress(at(102));
    screen.note("a note");
    expect(displayed(written, 40)).toEqual(["a note", ""]);
  });

  test("leaves no remains of a longer line", () => {
    const { stream, written } = recorded(80);
    const screen = new Screen(recorded().stream, stream);
    screen.progress({ ...at(100), secondsLeft: 36_000 });
    screen.progress({ ...at(101), line: {} });
    expect(displayed(written, 80)).toEqual(["███░░░░░░░  step 101/400  left 1:05  images 3232"]);
  });

  test("gives way to results and notes", () => {
    const both = recorded(80);
    const screen = new Screen(both.stream, both.stream);
    screen.progress(at(100));
    screen.note("a note");
    screen.progress(at(200));
    screen.print("a result");
    expect(displayed(both.written, 80)).toEqual(["a note", "a result", ""]);
  });
});

test.each([
  [0, "0:00"],
  [59.6, "1:00"],
  [3661, "1:01:01"],
  [Number.NaN, "?"],
  [Number.POSITIVE_INFINITY, "?"],
])("%s seconds are %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test("control characters are shown as replacement characters, except tab and line feed", () => {
  expect(printable("a\tb\nc\r\u001b[2J\u009b1\u0000")).toBe("a\tb\nc\ufffd\ufffd[2J\ufffd1\ufffd");
});
