import { describe, expect, it } from "vitest";
import { proposals, type Servers } from "./relabel";

const ours = { endpoint: "http://ours.example/v1", model: "a-model" };
const theirs = { endpoint: "http://theirs.example/v1", model: null };
const elsewhere = { endpoint: "http://elsewhere.example/v1", model: "b-model" };

function servers(others: boolean, ...items: Servers["items"]): Servers {
  return { items, next: null, others };
}

describe("models that are proposed", () => {
  it("hold no server that an editor may not name, whoever had it asked", () => {
    expect(proposals(servers(false, ours), elsewhere)).toEqual([ours]);
    expect(proposals(servers(false), elsewhere)).toEqual([]);
  });

  it("begin with the newest for an admin, named or not", () => {
    expect(proposals(servers(true, ours), elsewhere)).toEqual([elsewhere, ours]);
    expect(proposals(servers(true), elsewhere)).toEqual([elsewhere]);
    expect(proposals(servers(true), null)).toEqual([]);
  });

  it("begin with the newest where the settings name its server in another spelling", () => {
    const newest = { endpoint: "http://THEIRS.example/v1/chat/completions/", model: "c-model" };

    expect(proposals(servers(false, ours, theirs), newest)).toEqual([
      { ...theirs, model: "c-model" },
      ours,
    ]);
  });

  it("leave the model to be named where the settings name none", () => {
    expect(proposals(servers(false, theirs), null)).toEqual([{ ...theirs, model: "" }]);
  });
});
