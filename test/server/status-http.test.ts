import { request } from 'node:http'
import t from 'tap'
import type { Test } from 'tap'
import { NodeMetrics } from '../../src/server/metrics.js'
import { StatusServer } from '../../src/server/status-http.js'
import type { ReadyCheck } from '../../src/server/status-http.js'

interface Answer { readonly code: number; readonly headers: Record<string, unknown>; readonly body: string }

function ask(address: string, path: string, options: { method?: string; host?: string } = {}): Promise<Answer> {
  const at = address.lastIndexOf(':')
  return new Promise((resolve, reject) => {
    const headers = { host: options.host ?? address }
    const sent = request({ host: address.substring(0, at), port: address.substring(at + 1), path, method: options.method ?? 'GET', headers, agent: false },
      answer => {
        let body = ''
        answer.setEncoding('utf8').on('data', chunk => { body += chunk })
        answer.on('end', () => { resolve({ code: answer.statusCode ?? 0, headers: answer.headers, body }) })
      })
    sent.on('error', reject).end()
  })
}

async function serve(t: Test, checks: () => readonly ReadyCheck[] = () => []): Promise<StatusServer> {
  const metrics = new NodeMetrics({ node: 'n1' })
  metrics.add(() => ({ things_total: 3, depth: 1.5, 'kinds_total{kind="a"}': 2, odd: Number.NaN }))
  const server = await StatusServer.listen('127.0.0.1:0', {
    metrics, status: () => ({ big: 12345678901234567890n, bytes: new Uint8Array([1, 255]) }), ready: checks, config: () => ({ a: 1 }),
    page: path => path === '/boom' ? boom() : path === '/' ? { kind: 'html', body: '<p>hello</p>' } : undefined,
  })
  t.teardown(() => {
    server.close()
    metrics.close()
  })
  return server
}

function boom(): never { throw new Error('a page broke') }

t.test('status, config and metrics', async t => {
  const { address } = await serve(t)
  const status = await ask(address, '/status')
  t.equal(status.code, 200)
  t.strictSame(JSON.parse(status.body), { big: '12345678901234567890', bytes: '01FF' })
  t.equal((await ask(address, '/config')).body, '{"a":1}\n')
  const { body, headers } = await ask(address, '/metrics')
  t.match(headers['content-type'], /text\/plain; version=0\.0\.4/)
  t.match(body, /# TYPE karst_things_total counter\nkarst_things_total\{node="n1"\} 3\n/)
  t.match(body, /karst_kinds_total\{kind="a",node="n1"\} 2/)
  t.match(body, /karst_depth\{node="n1"\} 1\.5/)
  t.match(body, /karst_event_loop_delay_seconds/)
  t.notMatch(body, /karst_odd\{/)
  t.match((await ask(address, '/metrics')).body, /karst_things_total\{node="n1"\} 3\n/, 'a counter is not added twice')
})

t.test('ready says what is missing', async t => {
  const checks: ReadyCheck[] = [{ name: 'pd', ok: true, detail: 'heard' }]
  const { address } = await serve(t, () => checks)
  t.match(await ask(address, '/ready'), { code: 200, body: 'ready\n' })
  t.equal((await ask(address, '/ready?verbose')).body, 'ready\n[+] pd heard\n')
  checks.push({ name: 'disk', ok: false, detail: 'full' })
  t.match(await ask(address, '/ready'), { code: 503, body: 'not ready\n[+] pd heard\n[-] disk full\n' })
})

t.test('nothing but reading, nothing unknown, nothing that breaks the node', async t => {
  const { address } = await serve(t)
  t.match(await ask(address, '/status', { method: 'POST' }), { code: 405, headers: { allow: 'GET, HEAD' } })
  t.match(await ask(address, '/status', { method: 'DELETE' }), { code: 405 })
  t.equal((await ask(address, '/nothing')).code, 404)
  t.match(await ask(address, '/boom'), { code: 500, body: /a page broke/ })
  t.equal((await ask(address, '//%%')).code, 400)
  const html = await ask(address, '/')
  t.match(html.headers['content-security-policy'], /default-src 'none'/)
  t.equal(html.headers['x-content-type-options'], 'nosniff')
  t.equal(html.headers['x-frame-options'], 'DENY')
})

t.test('a page of the web that points a name at loopback gets nothing', async t => {
  const { address } = await serve(t)
  t.equal((await ask(address, '/status', { host: 'evil.example' })).code, 421)
  t.equal((await ask(address, '/status', { host: `localhost:${address.split(':')[1]}` })).code, 200)
})

t.test('a taken address is a typed error that says what to do', async t => {
  const server = await serve(t)
  await t.rejects(StatusServer.listen(server.address, {
    metrics: new NodeMetrics({}), status: () => ({}), ready: () => [], config: () => ({}),
  }), { name: 'StartupError', code: 'addressInUse', message: /taken by another program; choose another --status-addr/ })
})
