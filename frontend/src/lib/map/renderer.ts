/** Draws a map's points by WebGL 2: one buffer of places, one of states, two calls a frame. */
import { pointSize, unit, type Size, type Zoom } from "./camera";
import { DIMMED, HIT, type MapPoints } from "./points";

/** Colours as three numbers of 0..1. */
export type Colour = [number, number, number];

export interface Palette {
  regions: Colour[];
  dimmed: Colour;
  hit: Colour;
}

export const REGION_COLOURS = 8;

const VERTEX = `#version 300 es
in float x;
in float y;
in uint state;
in uint region;
uniform vec2 scale;
uniform vec2 offset;
uniform float size;
uniform bool hits;
uniform vec3 colours[${REGION_COLOURS}];
uniform vec3 dimmed;
uniform vec3 hit;
out vec4 colour;

void main() {
  bool isHit = state == ${HIT}u;
  if (state == 0u || isHit != hits) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    gl_PointSize = 0.0;
    return;
  }
  gl_Position = vec4(vec2(x, y) * scale + offset, 0.0, 1.0);
  gl_PointSize = isHit ? size * 1.6 + 3.0 : size;
  bool isDimmed = state == ${DIMMED}u;
  colour = isHit ? vec4(hit, 0.95)
    : isDimmed ? vec4(dimmed, 0.5)
    : vec4(colours[region % ${REGION_COLOURS}u], 0.75);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour;
out vec4 pixel;

void main() {
  float far = length(gl_PointCoord - 0.5) * 2.0;
  float soft = 1.0 - smoothstep(0.75, 1.0, far);
  pixel = vec4(colour.rgb, 1.0) * colour.a * soft;
}`;

export class MapRenderer {
  readonly #gl: WebGL2RenderingContext;
  readonly #program: WebGLProgram;
  readonly #states: WebGLBuffer;
  readonly #count: number;
  #hasHits = false;

  /** Null where the browser has no WebGL 2. */
  static create(canvas: HTMLCanvasElement, points: MapPoints): MapRenderer | null {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    return gl && !gl.isContextLost() ? new MapRenderer(gl, points) : null;
  }

  private constructor(gl: WebGL2RenderingContext, points: MapPoints) {
    this.#gl = gl;
    this.#count = points.count;
    this.#program = link(gl);
    gl.useProgram(this.#program);
    this.#fill("x", points.x, gl.FLOAT);
    this.#fill("y", points.y, gl.FLOAT);
    this.#fill("region", points.region, gl.UNSIGNED_BYTE);
    this.#states = this.#fill("state", new Uint8Array(points.count), gl.UNSIGNED_BYTE);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  #fill(name: string, values: AllowSharedBufferSource, type: number): WebGLBuffer {
    const gl = this.#gl;
    const buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    const place = gl.getAttribLocation(this.#program, name);
    gl.enableVertexAttribArray(place);
    if (type === gl.FLOAT) gl.vertexAttribPointer(place, 1, type, false, 0, 0);
    else gl.vertexAttribIPointer(place, 1, type, 0, 0);
    return buffer;
  }

  setStates(states: Uint8Array<ArrayBuffer>, hits: number): void {
    this.#hasHits = hits > 0;
    this.#gl.bindBuffer(this.#gl.ARRAY_BUFFER, this.#states);
    this.#gl.bufferSubData(this.#gl.ARRAY_BUFFER, 0, states);
  }

  setPalette(palette: Palette): void {
    const gl = this.#gl;
    gl.uniform3fv(this.#uniform("colours"), palette.regions.flat());
    gl.uniform3fv(this.#uniform("dimmed"), palette.dimmed);
    gl.uniform3fv(this.#uniform("hit"), palette.hit);
  }

  /** Draw a frame; `size` is in CSS pixels, of which each is `ratio` of the canvas. */
  draw(size: Size, ratio: number, zoom: Zoom): void {
    const gl = this.#gl;
    const canvas = gl.canvas;
    canvas.width = Math.max(1, Math.round(size.width * ratio));
    canvas.height = Math.max(1, Math.round(size.height * ratio));
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const one = unit(size) * zoom.k * 2;
    gl.uniform2f(this.#uniform("scale"), one / size.width, one / size.height);
    // Of clip space, whose middle is 0 and whose y goes up: the picture's middle under the zoom.
    gl.uniform2f(
      this.#uniform("offset"),
      zoom.k - 1 + (2 * zoom.x) / size.width,
      1 - zoom.k - (2 * zoom.y) / size.height,
    );
    gl.uniform1f(this.#uniform("size"), pointSize(size, this.#count, zoom.k) * ratio);
    for (const hits of this.#hasHits ? [0, 1] : [0]) {
      gl.uniform1i(this.#uniform("hits"), hits);
      gl.drawArrays(gl.POINTS, 0, this.#count);
    }
  }

  #uniform(name: string): WebGLUniformLocation | null {
    return this.#gl.getUniformLocation(this.#program, name);
  }
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(type);
    if (!shader) continue;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(
      `The map cannot be drawn here: ${gl.getProgramInfoLog(program) ?? "no reason"}`,
    );
  }
  return program;
}

/** Read the palette as the theme has it; `within` is an element that stands in the page. */
export function readPalette(within: HTMLElement): Palette {
  const probe = document.createElement("span");
  within.append(probe);
  const read = (name: string): Colour => {
    probe.style.color = `var(${name})`;
    const [r = 0, g = 0, b = 0] = (getComputedStyle(probe).color.match(/[\d.]+/g) ?? []).map(
      Number,
    );
    return [r / 255, g / 255, b / 255];
  };
  const palette = {
    regions: Array.from({ length: REGION_COLOURS }, (_, i) => read(`--map-${i + 1}`)),
    dimmed: read("--map-dim"),
    hit: read("--map-hit"),
  };
  probe.remove();
  return palette;
}
