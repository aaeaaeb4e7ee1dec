import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isLoopback } from './advertise.js'
import { isCode } from './files.js'
import { toJson } from './json.js'
import { metricsContentType } from './metrics.js'
import type { NodeMetrics } from './metrics.js'
import { StartupError } from './startup-error.js'

export interface ReadyCheck {
  readonly name: string
  readonly ok: boolean
  readonly detail: string
}

export interface StatusPages {
  readonly metrics: NodeMetrics
  status(): unknown
  /** Can it serve? Who balances load asks this; PD away is no reason to say no. */
  ready(): readonly ReadyCheck[]
  /** Is the process worth keeping? Who restarts processes asks this, and nothing else. */
  live?(): readonly ReadyCheck[]
  config(): unknown
  /** Pages of this kind of node. undefined: no such page. */
  page?(path: string, query: URLSearchParams): StatusPage | undefined
}

export type StatusPage =
  | { readonly kind: 'json'; readonly body: unknown; readonly code?: number }
  | { readonly kind: 'html'; readonly body: string }

const requestMsMax = 10_000
/** People, Prometheus, health checks; the port of clients has limits of its own. */
const connectionsMax = 64
/** Everything is small text of our own: nothing may be embedded, sniffed or fetched from elsewhere. */
const hardening = {
  'cache-control': 'no-store', 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer',
  'content-security-policy':
    'default-src \'none\'; script-src \'unsafe-inline\'; style-src \'unsafe-inline\'; connect-src \'self\'; frame-ancestors \'none\'',
} as const
const loopbackName = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

/** Read-only HTTP for people, Prometheus and health checks. Nothing here changes anything. */
export class StatusServer {
  readonly #server: Server
  readonly #pages: StatusPages

  private constructor(pages: StatusPages) {
    this.#pages = pages
    this.#server = createServer({ requestTimeout: requestMsMax, headersTimeout: requestMsMax, keepAliveTimeout: 5_000 },
      (request, response) => { this.#answer(request, response) })
    this.#server.maxConnections = connectionsMax
    this.#server.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n')
    })
  }

  /** @throws StartupError('addressInUse') */
  static async listen(address: string, pages: StatusPages): Promise<StatusServer> {
    const status = new StatusServer(pages)
    const at = address.lastIndexOf(':')
    const host = address.substring(0, at).replace(/^\[|\]$/g, '')
    await new Promise<void>((resolve, reject) => {
      status.#server.once('error', error => {
        const why = isCode(error, 'EADDRINUSE') ? 'is taken by another program' : `cannot be used: ${error.message}`
        reject(new StartupError('addressInUse', `status address ${address} ${why}; choose another --status-addr (port 0: any free one)`,
          { cause: error }))
      })
      status.#server.listen(Number(address.substring(at + 1)), host, resolve)
    })
    status.#server.unref()
    return status
  }

  get address(): string {
    const { address, port, family } = this.#server.address() as AddressInfo
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    for (const [name, value] of Object.entries(hardening)) response.setHeader(name, value)
    // Who listens on loopback is not for web pages, whatever name they have pointed at it.
    if (isLoopback(this.address) && !loopbackName.test(request.headers.host ?? '')) {
      return sendJson(response, 421, { error: `this server listens on loopback and is not called "${request.headers.host ?? ''}"` })
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD')
      return sendJson(response, 405, { error: `${request.method ?? ''} is not served here; everything is read with GET` })
    }
    let url: URL
    try {
      url = new URL(request.url ?? '/', 'http://node')
    } catch {
      return sendJson(response, 400, { error: 'the path cannot be read' })
    }
    try {
      this.#route(url, response)
    } catch (error) {
      sendJson(response, 500, { error: String(error) })
    }
  }

  #route(url: URL, response: ServerResponse): void {
    switch (url.pathname) {
      case '/status': return sendJson(response, 200, this.#pages.status())
      case '/config': return sendJson(response, 200, this.#pages.config())
      case '/ready': return sendChecks(response, 'ready', this.#pages.ready(), url.searchParams.has('verbose'))
      case '/live': return sendChecks(response, 'live', this.#pages.live?.() ?? [], url.searchParams.has('verbose'))
      case '/metrics': return this.#sendMetrics(response)
      default: break
    }
    const page = this.#pages.page?.(url.pathname, url.searchParams)
    if (page === undefined) {
      sendJson(response, 404, { error: `no page ${url.pathname}; there are /status /live /ready /metrics /config and /` })
    } else if (page.kind === 'json') {
      sendJson(response, page.code ?? 200, page.body)
    } else {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page.body)
    }
  }

  #sendMetrics(response: ServerResponse): void {
    const { metrics } = this.#pages
    metrics.text().then(
      text => { response.writeHead(200, { 'content-type': metricsContentType }).end(text) },
      (error: unknown) => { sendJson(response, 500, { error: String(error) }) })
  }
}

function sendChecks(response: ServerResponse, word: string, checks: readonly ReadyCheck[], isVerbose: boolean): void {
  const isReady = checks.every(check => check.ok)
  const lines = checks.map(check => `[${check.ok ? '+' : '-'}] ${check.name} ${check.detail}`)
  const head = isReady ? word : `not ${word}`
  response.writeHead(isReady ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' })
    .end(`${[head, ...(isVerbose || !isReady ? lines : [])].join('\n')}\n`)
}

function sendJson(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json; charset=utf-8' })
    .end(`${toJson(body)}\n`)
}
