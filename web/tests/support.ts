/** A server for the tests: answers each call by its method and path. */
import { vi } from 'vitest'

export type Answer = (request: Request) => Response | Promise<Response>

export function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } })
}

/** As the server refuses a token, which is not the only 401 there is. */
export function tokenRefused(code = 'TOKEN_EXPIRED'): Response {
  const response = json({ code }, 401)
  response.headers.set('WWW-Authenticate', 'Bearer')
  return response
}

/** Replaces `fetch`; the calls that were made, as "METHOD /path", are what comes back. */
export function serve(routes: Record<string, Answer>): { calls: string[]; requests: Request[] } {
  const calls: string[] = []
  const requests: Request[] = []
  vi.stubGlobal('fetch', async (input: Request | string, init?: RequestInit) => {
    const request = input instanceof Request ? input : new Request(new URL(input, location.origin), init)
    const call = `${request.method} ${new URL(request.url).pathname}`
    calls.push(call)
    requests.push(request.clone())
    const answer = routes[call]
    if (!answer) throw new TypeError(`nobody answers ${call}`)
    return answer(request)
  })
  return { calls, requests }
}

/** Server-Sent Events as the API sends them, and then the end of the connection. */
export function events(...sent: [id: number, event: string, data: unknown][]): Response {
  const text = sent.map(([id, event, data]) => `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join('')
  return new Response(text, { headers: { 'Content-Type': 'text/event-stream' } })
}

export const REPLY = { token: 'access-2', refresh_token: 'refresh-2', expires_in: 3600, userId: 'u' }

export function logIn(expiresInMs = 3_600_000): void {
  localStorage.setItem('talkmeter.account', 'u')
  localStorage.setItem('talkmeter.refresh', 'refresh-1')
  const access = { token: 'access-1', expiresAt: Date.now() + expiresInMs, userId: 'u' }
  sessionStorage.setItem('talkmeter.access', JSON.stringify(access))
}
