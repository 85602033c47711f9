/** Files that people write options and configurations in: YAML, or JSON, each key once. */
import { parseDocument } from "yaml";
import { readText } from "../storage/read.ts";
import { SettingError } from "./settings.ts";

/** The options of a `--config` file. @throws SettingError for anything but `option: value` lines, or a repeated one. */
export function configFile(path: string): Record<string, unknown> {
  const document = parseDocument(readText(path));
  refuseRepeatedKeys(path, document);
  const [error] = document.errors;
  if (error) throw new SettingError(`${path}: not YAML: ${error.message.split("\n")[0]}`);
  const content: unknown = document.toJS();
  if (content === null || content === undefined) return {};
  if (typeof content !== "object" || Array.isArray(content))
    throw new SettingError(`${path}: expected option: value lines`);
  return content as Record<string, unknown>;
}

/** Of a JSON file, whose reader would take the last of several. @throws SettingError naming the line of the repeated key. */
export function refuseRepeatedKeys(path: string, document = parseDocument(readText(path))): void {
  const repeated = document.errors.find(({ code }) => code === "DUPLICATE_KEY");
  if (!repeated) return;
  const [at] = repeated.linePos ?? [];
  throw new SettingError(`${path}: a key is repeated${at ? ` in line ${at.line}` : ""}; keep one of them`);
}
