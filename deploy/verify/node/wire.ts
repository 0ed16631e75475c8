import type { Dashboard } from "@grafana/schema";

// Grafana's types as they look in JSON: an enum's member is its bare value.
type Wire<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends ReadonlyArray<infer Item>
      ? Wire<Item>[]
      : T extends object
        ? { [Key in keyof T]: Wire<T[Key]> }
        : T;

// What the Prometheus data source adds to an annotation.
type Annotated = { annotations?: { list?: { target?: { expr?: string }; titleFormat?: string; textFormat?: string }[] } };

export type DashboardJson = Wire<Dashboard> & Annotated;

export type PanelJson<Options, Custom = Record<string, never>> = {
  options: Wire<Partial<Options>>;
  fieldConfig: { defaults: { custom?: Wire<Partial<Custom>> } };
};
