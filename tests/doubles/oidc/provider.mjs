// A provider of OpenID Connect: node provider.mjs PORT CERTIFICATE KEY BACK... ; run in the folder of its packages.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [port, certificate, key, ...back] = process.argv.slice(2);
const entry = createRequire(`${process.cwd()}/`).resolve('oidc-provider');
const { Provider } = await import(pathToFileURL(entry));
const people = {
  olga: { name: 'Olga Provider', email: 'olga@idp.test', groups: ['VDI-Users'] },
  igor: { name: 'Igor Provider', email: 'igor@idp.test', groups: [] },
};
const provider = new Provider(`https://localhost:${port}`, {
  clients: [{
    client_id: 'portico', client_secret: 's'.repeat(43), redirect_uris: back.map((base) => `${base}/login/back`),
    post_logout_redirect_uris: back.map((base) => `${base}/login`), backchannel_logout_uri: `${back[0]}/login/ended`,
    backchannel_logout_session_required: true,
  }],
  claims: { openid: ['sub', 'preferred_username', 'groups'], profile: ['name'], email: ['email'] },
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  // Its own patience of 2.5 seconds is a verdict on a loaded machine, and its dispatcher calls nobody on this machine.
  fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined, signal: AbortSignal.timeout(60_000) }),
  pkce: { required: () => true },
  cookies: { keys: ['for tests alone'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, groups: [], ...people[id] }),
  }),
});
provider.on('backchannel.error', (_, problem) => console.error('back channel', problem, problem.cause));
createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, provider.callback())
  .listen(Number(port), '127.0.0.1', () => console.log('ready'));
