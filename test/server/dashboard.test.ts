import { createContext, runInContext } from 'node:vm'
import t from 'tap'
import { startCluster } from '../../src/index.js'

t.setTimeout(120_000)

/** As much of a page's document as the dashboard touches. */
class Element {
  children: (Element | string)[] = []
  className = ''
  #text = ''
  constructor(readonly tag: string) {}
  get textContent(): string { return this.#text + this.children.map(child => typeof child === 'string' ? child : child.textContent).join('') }
  set textContent(text: string) { this.#text = text }
  append(...more: (Element | string)[]): void { this.children.push(...more) }
  replaceChildren(...more: (Element | string)[]): void { this.children = more }
}

t.test('the dashboard shows stores, regions and PD of a living cluster', async t => {
  const cluster = await startCluster({ timeoutMs: 100_000 })
  t.teardown(() => cluster.close())
  const base = `http://${cluster.pdStatusAddresses[0]}`
  const page = await fetch(base)
  t.match(page.headers.get('content-security-policy'), /default-src 'none'/)
  const html = await page.text()
  const script = /<script>([^]*)<\/script>/.exec(html)?.[1] ?? ''
  const places = new Map([...html.matchAll(/id="(\w+)"/g)].map(([, id]) => [id, new Element('div')]))
  const paths: string[] = []
  const context = createContext({
    document: { createElement: (tag: string) => new Element(tag), getElementById: (id: string) => places.get(id) },
    fetch: (path: string) => {
      paths.push(path)
      return fetch(base + path)
    },
    setInterval: () => {},
  })
  await runInContext(`${script.replace(/refresh\(\); setInterval.*/, '')}; refresh()`, context)
  t.match(places.get('note')?.textContent, /^cluster \d+ · 3 stores · 1 regions$/)
  const stores = places.get('stores')?.children.map(row => (row as Element).textContent) ?? []
  t.equal(stores.length, 3)
  for (const store of cluster.stores) t.ok(stores.some(row => row.includes(store.address) && row.includes('Up')), store.address)
  t.match((places.get('regions')?.children[0] as Element).textContent, /^1-∞∞\d+:1(store \d){3}0 MiB$/)
  t.match((places.get('members')?.children[0] as Element).textContent, /^pd-1http:\/\/127\.0\.0\.1:\d+leader$/)
  t.ok(paths.every(path => path.startsWith('/pd/api/v1/')))
})
