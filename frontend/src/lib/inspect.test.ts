import { describe, expect, it } from "vitest";
import {
  askedText,
  fromParams,
  hasText,
  heatOf,
  inspectedPieces,
  probabilityOf,
  requestOf,
  standing,
  strongestHeat,
  toParams,
  whyLeftOut,
  type FeatureBrief,
  type InspectedToken,
  type Inspection,
  type Progress,
  type Question,
} from "./inspect";

const QUESTION: Question = {
  release: "R",
  layers: null,
  text: "a river, 河",
  turns: null,
  thinking: null,
  goOn: null,
};

function token(piece: number, rest: Partial<InspectedToken> = {}): InspectedToken {
  const plain = { token_id: 1, start: piece, end: piece + 1, special: false, written: false };
  return { ...plain, piece, sinks: [], ...rest };
}

function feature(id: string, maximum: number | null): FeatureBrief {
  const rest = { layer: 2, index: 1, label: null, source: null, status: null, density: null };
  return { id, ...rest, flags: [], max_activation: maximum };
}

describe("a question in an address", () => {
  const asked: Question[] = [
    QUESTION,
    { ...QUESTION, layers: [0, 11], goOn: { tokens: 24, temperature: 0.7, seed: 3 } },
    {
      ...QUESTION,
      text: "",
      turns: [
        { role: "system", content: "Be kind & brief" },
        { role: "user", content: "" },
      ],
      thinking: false,
    },
  ];

  it.each(asked)("comes back as it was", (question) => {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(toParams(question) ?? {})) {
      if (value) params.set(name, value);
    }
    expect(fromParams(params)).toEqual(question);
    expect(hasText(fromParams(params))).toBe(true);
  });

  it("is none where its text is too long for one", () => {
    expect(toParams({ ...QUESTION, text: "河".repeat(1000) })).toBeNull();
  });

  it.each(["chat=[[1]]", "chat=[", "layers=x", "go=-1", "temperature=warm&go=x"])(
    "counts what is malformed in %s as absent",
    (query) => {
      expect(fromParams(new URLSearchParams(query))).toEqual({
        ...QUESTION,
        release: "",
        text: "",
      });
    },
  );
});

it("asks for a text or for a chat, never for both", () => {
  const turns: Question["turns"] = [{ role: "user", content: "hi" }];

  expect(requestOf(QUESTION)).not.toHaveProperty("messages");
  expect(requestOf({ ...QUESTION, turns })).not.toHaveProperty("text");
});

describe("an inspected text", () => {
  const inspection = {
    text: "ab河",
    pieces: ["a", "b", "河"],
    tokens: [token(0), token(1, { sinks: [2] }), token(2), token(2, { written: true })],
    features: [feature("m/2-s/1", 8), feature("m/2-s/2", null)],
    strongest: [[], [[0, 4]], [[1, 3]], [[0, 1]]],
  } as unknown as Inspection;

  it("tints a token by how much of its own largest activation a feature reaches there", () => {
    const firing = {
      ...{ feature: 0, max: 8, peak: 3, mean: 6, count: 2, surprise: 1 },
      tokens: [1, 3],
      activations: [4, 8],
    };

    expect(heatOf(4, feature("m/2-s/1", 8), firing)).toEqual([0, 4, 0, 8]);
    expect(strongestHeat(inspection)).toEqual([0, 4, 8, 1]);
  });

  it("is drawn in pieces that show a character once, however many tokens it takes", () => {
    const pieces = inspectedPieces(inspection, [0, 4, 2, 7]);

    expect(pieces.map(({ text }) => text)).toEqual(["a", "b", "河"]);
    expect(pieces.map(({ first, last, heat }) => [first, last, heat])).toEqual([
      [0, 0, 0],
      [1, 1, 4],
      [2, 3, 7],
    ]);
    expect(pieces.map(({ leftOut }) => leftOut)).toEqual([true, true, false]);
  });

  it("says of the first token and of sinks that they are left out", () => {
    expect(whyLeftOut(inspection.tokens, 0)).toContain("first token");
    expect(whyLeftOut(inspection.tokens, 1)).toContain("sink in layer 2");
    expect(whyLeftOut(inspection.tokens, 2)).toBeNull();
  });

  it("knows the probability of what the model has written, and of nothing else", () => {
    const written = [["河", 0.25]] as const;

    expect(inspection.tokens.map((_, place) => probabilityOf(inspection.tokens, written, place))) //
      .toEqual([null, null, null, 0.25]);
    expect(probabilityOf(inspection.tokens, [], 3)).toBeNull();
  });

  it("tells what was asked from what was written", () => {
    const tokens = [token(0), token(1, { start: 2, written: true })];

    expect(askedText({ ...inspection, tokens })).toBe("ab");
  });
});

it.each([
  [{ state: "queued", ahead: 0 }, "next in line"],
  [{ state: "queued", ahead: 1 }, "1 comes before you"],
  [{ state: "queued", ahead: 3 }, "3 come before you"],
  [{ state: "loading", ahead: 0 }, "is being loaded"],
  [{ state: "running", ahead: 0 }, "reads the text"],
] as const)("says of %o: %s", (progress, words) => {
  expect(standing({ id: 1, written: [], ...progress } as Progress)).toContain(words);
});
