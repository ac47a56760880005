import { defineConfig } from 'vite';
import { fileURLToPath } from 'node:url';
import { singleFile } from './single-file.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [singleFile()],
  resolve: {
    // GraphiQL's dialogs pull in a scroll lock that adds <style> elements at run time. The page
    // never scrolls, and the Content-Security-Policy would refuse them.
    alias: { 'react-style-singleton': here('src/no-runtime-styles.js') },
  },
  build: {
    target: 'es2022',
    // The first browsers that support light-dark().
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // Everything in one script and one style sheet, so that one hash each is enough.
    assetsInlineLimit: Number.MAX_SAFE_INTEGER,
    cssCodeSplit: false,
    modulePreload: false,
    rolldownOptions: {
      output: { codeSplitting: false },
      onwarn(warning, warn) {
        // "use client" in libraries has no meaning here.
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') warn(warning);
      },
    },
    chunkSizeWarningLimit: 3000,
    // dist/licenses.md lists what is bundled and under which licences.
    license: { fileName: 'licenses.md' },
  },
  // `npm run dev` against a running Tenantry.
  server: { proxy: { '/graphql': { target: process.env.TENANTRY_URL ?? 'http://localhost:8080', ws: true } } },
});
