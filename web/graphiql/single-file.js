// Inlines the built script and style sheet into index.html, and fails unless the result is one self-contained page.
// Written here instead of using a package: it is small, and the server's Content-Security-Policy depends on its exact
// output.

/** @returns {import('vite').Plugin} */
export function singleFile() {
  return {
    name: 'tenantry:single-file',
    enforce: 'post',
    apply: 'build',
    generateBundle: { order: 'post', handler: inline },
  };
}

function inline(_options, bundle) {
  const files = Object.values(bundle).filter((file) => !file.fileName.endsWith('.md'));
  const html = only(files.filter((file) => file.fileName.endsWith('.html')), 'HTML page');
  const script = only(files.filter((file) => file.type === 'chunk'), 'script');
  const style = only(files.filter((file) => file.fileName.endsWith('.css')), 'style sheet');
  if (files.length !== 3) {
    this.error(`not self-contained: ${files.map((file) => file.fileName).join(', ')}`);
  }

  // Functions as replacements: the text may contain `$&`.
  const page = String(html.source)
    .replace(/\s*<script type="module"[^>]*src="[^"]*"[^>]*><\/script>/, '')
    .replace(/\s*<link rel="stylesheet"[^>]*>/, '')
    .replace('</head>', () => `  <style>${safeStyle(String(style.source))}</style>\n  </head>`)
    .replace('</body>', () => `  <script type="module">${safeScript(script.code)}</script>\n  </body>`);

  if (/<(script|link|img)[^>]+(src|href)="(?!data:)/.test(page.replace(/<script type="module">[\s\S]*<\/script>/, ''))) {
    this.error('index.html still refers to another file');
  }
  // Parsers turn \r\n into \n, which would change the hash.
  html.source = page.replace(/\r\n?/g, '\n');
  delete bundle[script.fileName];
  delete bundle[style.fileName];
}

function only(files, what) {
  if (files.length !== 1) throw new Error(`expected one ${what}, found ${files.length}`);
  return files[0];
}

// Inside <script> only these sequences matter to an HTML parser. They occur in string literals, where the backslash
// changes nothing.
function safeScript(code) {
  return code.trim().replace(/<\/(script)/gi, '<\\/$1').replace(/<(script)/gi, '\\x3c$1').replace(/<!--/g, '\\x3c!--');
}

function safeStyle(css) {
  if (/<\/style/i.test(css)) throw new Error('the style sheet contains </style');
  return css.trim();
}
