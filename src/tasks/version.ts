/** The version of this package and of the parts that numbers depend on. */
import { fileURLToPath } from "node:url";
import { readJson } from "../storage/read.ts";

interface PackageJson {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

const packageJson = (): PackageJson =>
  readJson(fileURLToPath(new URL("../../package.json", import.meta.url))) as PackageJson;

export const packageVersion = (): string => packageJson().version;

/** What `config.json` records: results are bit-equal only for equal versions. */
export function versions(): Record<string, string> {
  const { version, dependencies } = packageJson();
  return { tinyfusion: version, "onnxruntime-node": dependencies["onnxruntime-node"]!, node: process.versions.node };
}
