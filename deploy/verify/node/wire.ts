// Grafana's types as they look in JSON: an enum's member is its bare value.
export type Wire<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends ReadonlyArray<infer Item>
      ? Wire<Item>[]
      : T extends object
        ? { [Key in keyof T]: Wire<T[Key]> }
        : T;

type Shown<Options, Custom> = {
  options: Wire<Partial<Options>>;
  fieldConfig: { defaults: { custom?: Wire<Partial<Custom>> } };
};
export type ShownPanel<Options, Custom = Record<string, never>> = Shown<Options, Custom>;
