/**
 * The whole method: train a small teacher, learn which of its blocks to keep, recover the shallow model, sample digits.
 * Sizes are tiny, so that it runs in seconds: the digits are noise. `npm run examples` runs it.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finetune, prune, sample, train } from "tinyfusion";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));
const at = (name: string) => join(folder, name);
const sizes = { inputSize: 28, patchSize: 7, inChannels: 1, hiddenSize: 32, depth: 4, numHeads: 2, numClasses: 10 };
writeFileSync(at("model.json"), JSON.stringify(sizes));
const short = { steps: 10, batchSize: 8, threads: 1 };

const teacher = await train({ modelConfig: at("model.json"), learningRate: 1e-3, out: at("teacher"), ...short });
if (!teacher.finished) throw new Error("stopped"); // only by a signal; the same call resumes

const shallow = await prune({ file: teacher.ema, groups: "1:2", out: at("masks"), ...short });
if (!shallow.finished) throw new Error("stopped");
console.log(`kept blocks ${shallow.decision.kept.join(", ")} of ${shallow.decision.depth}`);

const student = await finetune({ student: shallow.pruned, teacher: teacher.ema, out: at("recovery"), ...short });
if (!student.finished) throw new Error("stopped");

const { files } = await sample({ file: student.ema, count: 20, steps: "5", out: at("samples"), threads: 1 });
console.log(files.grid);
