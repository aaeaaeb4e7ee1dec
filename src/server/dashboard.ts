/** The page at `/` of PD: stores, regions and leaders, once a second. One text, nothing fetched from elsewhere. */
export const dashboardHtml = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>karst</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>
  :root { color-scheme: light dark; --line: #8884; --good: #2a9d57; --bad: #d1495b; --warm: #d98e04; }
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
  h1 { font-size: 1.4rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
  table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
  th { font-weight: 600; opacity: .7; } code { font: 13px ui-monospace, monospace; word-break: break-all; }
  .dot { display: inline-block; width: .6rem; height: .6rem; border-radius: 50%; margin-right: .4rem; background: var(--warm); }
  .Up { background: var(--good); } .Disconnected, .Down, .Tombstone { background: var(--bad); }
  .peer { display: inline-block; border: 1px solid var(--line); border-radius: .3rem; padding: 0 .4rem; margin-right: .25rem; }
  .leader { background: var(--good); color: #fff; border-color: var(--good); } .pending { opacity: .45; }
  #note { opacity: .7; min-height: 1.5em; }
</style></head><body>
<h1>karst</h1><div id="note">loading</div>
<h2>Stores</h2><table><thead><tr><th>id</th><th>address</th><th>state</th><th>leaders</th><th>regions</th><th>disk used</th>
<th>labels</th></tr></thead><tbody id="stores"></tbody></table>
<h2>Regions</h2><table><thead><tr><th>id</th><th>from</th><th>to</th><th>epoch</th><th>replicas (leader first)</th><th>size</th>
</tr></thead><tbody id="regions"></tbody></table>
<h2>PD</h2><table><thead><tr><th>name</th><th>clients</th><th></th></tr></thead><tbody id="members"></tbody></table>
<script>
const get = path => fetch('/pd/api/v1/' + path).then(async r => { const b = await r.json(); if (!r.ok) throw b; return b })
const node = (tag, text, name) => { const e = document.createElement(tag); e.textContent = text; if (name) e.className = name; return e }
const row = cells => { const tr = document.createElement('tr'); for (const c of cells) { const td = document.createElement('td')
  td.append(...(Array.isArray(c) ? c : [c])); tr.append(td) } return tr }
const bytes = n => n > 1e9 ? (n / 1e9).toFixed(1) + ' GB' : n > 1e6 ? (n / 1e6).toFixed(1) + ' MB' : Math.round(n / 1e3) + ' kB'
const fill = (id, rows) => document.getElementById(id).replaceChildren(...rows)
// Boundaries are memcomparable: groups of 8 bytes and a marker. Mode byte and keyspace come before the user's key.
function keyText(hex) {
  if (hex === '') return '∞'
  const raw = hex.match(/../g).map(x => parseInt(x, 16)), plain = []
  for (let at = 0; at + 8 < raw.length; at += 9) plain.push(...raw.slice(at, at + 8 - (255 - raw[at + 8])))
  const user = plain.slice(4)
  return user.every(b => b > 31 && b < 127) && user.length ? '"' + String.fromCharCode(...user) + '"' : hex
}
async function refresh() {
  const note = document.getElementById('note')
  try {
    const [stores, regions, members, cluster] = await Promise.all(['stores', 'regions?limit=200', 'members', 'cluster'].map(get))
    note.textContent = 'cluster ' + cluster.id + ' · ' + stores.count + ' stores · ' + regions.count + ' regions'
    fill('stores', stores.stores.map(({ store, status }) => row([String(store.id), node('code', store.address),
      [node('span', '', 'dot ' + store.state_name), store.state_name], String(status.leader_count), String(status.region_count),
      bytes(status.used_size), store.labels.map(l => l.key + '=' + l.value).join(', ')])))
    fill('regions', regions.regions.map(r => row([String(r.id), node('code', r.start_key === '' ? '-∞' : keyText(r.start_key)),
      node('code', keyText(r.end_key)), r.epoch.conf_ver + ':' + r.epoch.version,
      [...r.peers].sort((a, b) => (b.id === r.leader?.id) - (a.id === r.leader?.id)).map(p => node('span', 'store ' + p.store_id,
        'peer' + (p.id === r.leader?.id ? ' leader' : '') + (r.pending_peers.some(o => o.id === p.id) ? ' pending' : ''))),
      r.approximate_size + ' MiB'])))
    fill('members', members.members.map(m => row([m.name, node('code', m.client_urls.join(' ')),
      m.name === members.leader?.name ? 'leader' : ''])))
  } catch (error) { note.textContent = error.error ? error.error + (error.leader ? ': ' + error.leader : '') : 'PD does not answer' }
}
refresh(); setInterval(refresh, 1000)
</script></body></html>
`

/** The page at `/` of a store: what it is, and where to look further. */
export function storeHtml(title: string, pdAddresses: readonly string[]): string {
  const escape = (text: string): string => text.replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`)
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title></head>
<body style="font:15px system-ui;margin:2rem"><h1>${escape(title)}</h1><p>PD: ${escape(pdAddresses.join(', '))}</p>
<p><a href="/status">status</a> · <a href="/ready?verbose">ready</a> · <a href="/metrics">metrics</a> · <a href="/config">config</a></p>
</body></html>
`
}
