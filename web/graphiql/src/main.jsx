import { useEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import 'graphiql/style.css';
import './bar.css';
import { startBar } from './bar.js';
import * as session from './session.js';

const FIRST_QUERY = `# Welcome to Tenantry.
#
# Sign in above. On a demo database:
#   admin@acme.test / demo-demo-demo
# Then press Ctrl+Enter, or the button here.
#
# Ctrl+Space lists matching fields. The book
# on the left shows the whole schema.

query FirstLook {
  viewer {
    name
    role
    tenant {
      name
      timeZone
    }
  }
  services(first: 5) {
    nodes {
      id
      name
      durationMinutes
      price {
        amount
        currency
      }
    }
  }
}
`;

function Explorer() {
  const [user, setUser] = useState(() => identity(session.current()));
  useEffect(() => session.subscribe((now) => setUser(identity(now))), []);
  // GraphiQL reads the schema again when it gets another fetcher: once per user, not per token.
  const fetcher = useMemo(() => (params, options) => session.fetcher(params, options), [user]);
  return <GraphiQL fetcher={fetcher} defaultQuery={FIRST_QUERY} defaultEditorToolsVisibility={false} />;
}

const identity = (now) => (now ? `${now.user?.email} ${now.user?.tenant?.name}` : '');

startBar();
createRoot(document.querySelector('#graphiql')).render(<Explorer />);
