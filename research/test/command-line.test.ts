import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import { afterAll, describe, expect, test } from "vitest";
import { contents, plantImages, readJsonFile } from "../../test/cli/program-run.ts";
import { runStudy } from "../src/command-line.ts";

const folder = mkdtempSync(join(tmpdir(), "cli-study-"));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

/** Runs one command line as `main.ts` would. */
async function run(argv: readonly string[], signal = new AbortController().signal) {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const code = await runStudy(argv, {
    print: (line) => void stdout.push(`${line}\n`),
    note: (line) => void stderr.push(`${line}\n`),
    signal,
  });
  return { code, stdout: stdout.join(""), stderr: stderr.join("") };
}

const studying = (name: string, out: string, ...more: string[]) =>
  run([name, "--tiny", "--threads", "1", "--out", at(out), "--work", at("work"), ...more]);

/** Trials are of real models. */
const patience = { timeout: 120_000 };

describe("study", patience, () => {
  test("computes the trials of some variants with their masks, reports, and does no trial twice", async () => {
    const only = ["--only", "oracle,uniform", "--seeds", "0-1"];
    const first = await studying("table1", "study", ...only);
    expect([first.code, first.stderr.match(/^trial \d of 8: \w+, [\w-]+, seed [01] …$/gm)?.length]).toEqual([0, 8]);
    expect(first.stdout).toContain("4 of 40 trials are there.");
    const files = readdirSync(at("study/table1")).sort();
    expect(files).toEqual(["cells", "distances.png", "distances.svg", "report.csv", "report.html", "report.json"]);
    expect(readdirSync(at("study/table1/cells"))).toHaveLength(4);
    expect(decode(readFileSync(at("study/table1/distances.png"))).width).toBe(1400);
    const { rows, command } = readJsonFile(at("study/table1/report.json")) as { rows: unknown[]; command: string };
    expect(rows).toHaveLength(4);
    expect(command).toMatch(/^npm run study -- table1 --out \S+ --tiny --threads 1$/);
    const page = readFileSync(at("study/table1/report.html"), "utf8");
    for (const text of ["<svg", "Tiny budget: no number", "Primary comparisons", "Machines", "npm run study -- table1"])
      expect(page).toContain(text);
    for (const path of readdirSync(at("study/table1/cells"))) {
      expect(readFileSync(at(`study/table1/cells/${path}`), "utf8")).not.toContain(folder);
    }

    const before = contents(at("study/table1/cells"));
    const again = await studying("table1", "study", ...only);
    expect([again.code, contents(at("study/table1/cells"))]).toEqual([0, before]);
    expect(again.stderr).toBe("0 trials computed now, 8 are there\n");
    const rendered = await studying("table1", "study", "--report");
    expect([rendered.code, rendered.stderr, rendered.stdout]).toEqual([0, "", again.stdout]);
  });

  test("refuses trials of another budget, naming what differs", async () => {
    const { code, stderr } = await run(["table1", "--report", "--out", at("study")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /oracle-s0\.json: expected a trial with the settings of this command, found another .*images.*recovery/,
    );
  });

  test("joins the tables of what there is in one page, and says what has not begun", async () => {
    const { code, stdout } = await studying("report", "study");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^table1: 4 of 40 trials are there\.\ndistillation: 0 of \d+ trials are there\.\n/);
    const page = readFileSync(at("study/report.html"), "utf8");
    expect(page).toContain("Not begun: distillation, calibration-loss, update");
    const lines = readFileSync(at("study/report.md"), "utf8").split("\n");
    expect(lines).toContain("### Primary comparisons");
    expect(lines.filter((line) => /^\| (oracle|uniform) \| 2\/\d \|/.test(line))).toHaveLength(2);
    const figures = lines.flatMap((line) => line.match(/^!\[.*\]\((.*)\)$/)?.[1] ?? []);
    expect(figures).toContain("table1/distances.png");
    for (const figure of figures) expect(existsSync(at(`study/${figure}`))).toBe(true);
  });

  test("--dry-run lists variants with what they take, and writes nothing", async () => {
    const { code, stdout } = await studying("distillation", "dry", "--only", "none,output", "--dry-run");
    expect([code, existsSync(at("dry"))]).toEqual([0, false]);
    expect(stdout).toMatch(/^distillation: 6 trials, 0 of them there; nothing is written\n/);
    expect(stdout).toMatch(/\n {2}masks dit-learned +0,1 +\d+:\d\d +\d+:\d\d\n/);
    expect(stdout).toMatch(/\n {2}distillation none +0,1 +\d+:\d\d +\d+:\d\d\n/);
    expect(stdout).toMatch(/together about \d+:\d\d, estimated by a few steps on 1 threads\n$/);
  });

  test("of Fashion-MNIST trains its own classifier and teacher from IDX files", async () => {
    mkdirSync(at("data"));
    plantImages(at("data"));
    for (const part of ["train", "t10k"]) {
      copyFileSync(at("data/images.idx"), at(`data/${part}-images-idx3-ubyte`));
      copyFileSync(at("data/labels.idx"), at(`data/${part}-labels-idx1-ubyte`));
    }
    const only = ["--only", "trained-classifier,trained-teacher,oracle", "--seeds", "0"];
    const { code, stdout } = await studying("fashion", "fashion", "--data", at("data"), ...only);
    expect(code).toBe(0);
    expect(stdout).toContain("fashion/report.html");
    expect(readdirSync(at("fashion/fashion/cells")).sort()).toEqual([
      "oracle-s0.json",
      "trained-classifier-s0.json",
      "trained-teacher-s0.json",
    ]);
    const [images, other] = [at("data/train-images-idx3-ubyte"), ["--only", "random-median", "--seeds", "0"]];
    writeFileSync(
      images,
      readFileSync(images).map((byte, i) => (i < 16 ? byte : 255 - byte)),
    );
    const changed = await studying("fashion", "fashion", "--data", at("data"), ...other);
    expect([changed.code, changed.stderr.trimEnd().split("\n").at(-1)]).toEqual([
      1,
      expect.stringMatching(
        /data: expected the images that fashion\/cells\/trained-classifier-s0\.json was trained on \(SHA-256 [0-9a-f]{64}\), found others/,
      ),
    ]);
    const missing = await studying("fashion", "missing", "--data", at("nowhere"), ...only);
    expect(missing.stderr).toMatch(
      /nowhere: expected Fashion-MNIST's IDX files, found no train-images-idx3-ubyte\.gz; install Debian's package dataset-fashion-mnist or name their folder with --data/,
    );
  });

  test.each([
    [["tabel1"], 2, /expected one of table1, .*, all, report, got tabel1/],
    [
      ["table1", "--only", "learned,orakel"],
      1,
      /--only: expected variants of table1 \(learned, oracle, .*\), got "orakel"/,
    ],
    [["table1", "--seeds", "3-1"], 2, /--seeds expects seeds as 0-7 or 0,2, got "3-1"/],
    [
      ["table1", "--seeds", "8-9"],
      1,
      /--seeds: expected seeds that table1 plans trials for, got 8-9, which are none of/,
    ],
    [["table1", "--only", "width", "--seeds", "7"], 1, /expected seeds that table1 plans trials of width for, got 7/],
    [["table1", "--report", "--only", "oracle"], 2, /--report and --only exclude each other: it renders all/],
    [["report", "--dry-run"], 2, /study report and --dry-run exclude each other/],
    [["all", "--only", "oracle"], 2, /study all and --only exclude each other: each study has variants of its own/],
  ])("refuses %o in one sentence and writes nothing", async ([name, ...more], code, message) => {
    const refused = await studying(name!, "refused", ...more);
    expect([refused.code, refused.stderr.trimEnd().split("\n").length, existsSync(at("refused"))]).toEqual([
      code,
      1,
      false,
    ]);
    expect(refused.stderr).toMatch(message);
  });

  test("of a tiny budget wants a folder of its own", async () => {
    const { code, stderr } = await run(["table1", "--tiny", "--report"]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^study: --tiny expects an --out of its own/)]);
  });

  test("stopped, says how to continue", async () => {
    const argv = ["table1", "--tiny", "--only", "oracle", "--out", at("stopped")];
    const { code, stderr } = await run(argv, AbortSignal.abort());
    expect([code, stderr]).toEqual([130, "stopped; finished trials stay; the same command continues from there\n"]);
  });
});
