import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [sveltekit()],
  server: { proxy: { "/api": "http://localhost:8000" } },
  // `css`: heat.test.ts reads the colours from their style sheet.
  test: { include: ["src/**/*.test.ts"], css: true },
});
