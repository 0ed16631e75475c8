// node keda.js < manifest.json: throws where KEDA's own schema does not like it.
import { readFileSync } from "node:fs";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";

const manifest = JSON.parse(readFileSync(0, "utf8"));
new keda[manifest.kind](manifest).validate();
